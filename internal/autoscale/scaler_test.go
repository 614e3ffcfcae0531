package autoscale_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar/internal/autoscale"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memoryStore is a lease and a history in memory. The database implementation has its own tests.
type memoryStore struct {
	mu     sync.Mutex
	holder string
	token  uint64
	until  time.Time
	state  []byte
	lines  []autoscale.Entry
	fault  error
	late   time.Duration // delay of Acquire; a caller that does not wait for it gets an error, although the lease was taken
	full   error         // error of writes
	unread error         // error of Load
	asleep string        // holder whose process is suspended; it sends no requests
}

func (o *memoryStore) Acquire(ctx context.Context, holder string, ttl time.Duration) (autoscale.Term, error) {
	term, err := o.acquire(holder, ttl)
	if o.late == 0 {
		return term, err
	}
	select {
	case <-time.After(o.late):
		return term, err
	case <-ctx.Done():
		return autoscale.Term{}, ctx.Err()
	}
}

func (o *memoryStore) acquire(holder string, ttl time.Duration) (autoscale.Term, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.fault != nil:
		return autoscale.Term{}, o.fault
	case o.asleep == holder:
		return autoscale.Term{}, errors.New("asleep")
	case o.holder != holder && time.Now().Before(o.until):
		return autoscale.Term{Holder: o.holder, Token: o.token}, nil
	case o.holder != holder:
		o.token++
	}
	o.holder, o.until = holder, time.Now().Add(ttl)
	return autoscale.Term{Leader: true, Holder: holder, Token: o.token}, nil
}

func (o *memoryStore) Release(ctx context.Context, t autoscale.Term) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.token == t.Token {
		o.until = time.Time{}
	}
	return nil
}

func (o *memoryStore) fenced(t autoscale.Term) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.token != t.Token {
		return autoscale.ErrFenced
	}
	return o.fault
}

func (o *memoryStore) Guard(ctx context.Context, t autoscale.Term, effect func(context.Context) error) error {
	if err := o.fenced(t); err != nil {
		return err
	}
	return effect(ctx)
}

func (o *memoryStore) Load(context.Context) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.state, errors.Join(o.fault, o.unread)
}

func (o *memoryStore) Write(ctx context.Context, t autoscale.Term, e *autoscale.Entry, state []byte) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err := o.fenced(t); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.full != nil {
		return o.full
	}
	line := *e
	line.Number = int64(len(o.lines) + 1)
	o.lines, o.state = append(o.lines, line), state
	return nil
}

func (o *memoryStore) History(_ context.Context, before int64, limit int) ([]autoscale.Entry, error) {
	var found []autoscale.Entry
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, e := range slices.Backward(o.lines) {
		if (before == 0 || e.Number < before) && len(found) < limit {
			found = append(found, e)
		}
	}
	return found, o.fault
}

// historyText returns all entries as text.
func (o *memoryStore) historyText() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var b strings.Builder
	for i := range o.lines {
		fmt.Fprintln(&b, &o.lines[i])
	}
	return b.String()
}

// fakeCluster is a registry and a target in one: nodes exist as soon as they are ordered.
type fakeCluster struct {
	mu     sync.Mutex
	own    int
	others int
	load   float64 // load of all nodes together
	away   bool
	broken error
	blind  bool
	silent error  // error of Fleet
	hangs  string // what never answers: the registry or the target
	unseen bool   // no node has announced itself yet
	orders []autoscale.Order
}

func (s *fakeCluster) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

// hang waits for the end of a call that is never answered.
func (s *fakeCluster) hang(ctx context.Context, who string) error {
	s.mu.Lock()
	hangs := s.hangs
	s.mu.Unlock()
	if hangs != who {
		return nil
	}
	<-ctx.Done()
	return ctx.Err()
}

func (s *fakeCluster) Nodes(ctx context.Context) ([]membership.Node, error) {
	var nodes []membership.Node
	if err := s.hang(ctx, "the registry"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, errors.New("Redis does not answer")
	}
	if s.unseen {
		return nil, nil
	}
	all := float64(s.own + s.others)
	for i := range s.own {
		nodes = append(nodes, membership.Node{ID: membership.NodeID(fmt.Sprint("own-", i)), Load: s.load / all})
	}
	for i := range s.others {
		nodes = append(nodes, membership.Node{ID: membership.NodeID(fmt.Sprint("other-", i)), Load: s.load / all})
	}
	return nodes, nil
}

func (s *fakeCluster) Fleet(ctx context.Context) (autoscale.Fleet, error) {
	if err := s.hang(ctx, "the target"); err != nil {
		return autoscale.Fleet{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent != nil {
		return autoscale.Fleet{}, s.silent
	}
	if s.blind {
		return autoscale.Fleet{OwnsAll: true, Opaque: true}, nil
	}
	f := autoscale.Fleet{Wanted: s.own}
	for i := range s.own {
		f.Own = append(f.Own, membership.NodeID(fmt.Sprint("own-", i)))
		f.RemovalOrder = append([]membership.NodeID{f.Own[i]}, f.RemovalOrder...)
	}
	return f, nil
}

func (s *fakeCluster) Resize(ctx context.Context, o autoscale.Order) error {
	return o.Guard(ctx, func(context.Context) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.broken != nil {
			return s.broken
		}
		s.own, s.orders = o.Nodes, append(s.orders, o)
		return nil
	})
}

func (s *fakeCluster) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own
}

// TestScaler_StopDuringAcquire_ReleasesTheLease: the database has executed the statement, whether its answer is awaited or not.
func TestScaler_StopDuringAcquire_ReleasesTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &memoryStore{late: 2 * time.Second}
		_, stop := start(o, &fakeCluster{own: 1}, "a", nil)
		time.Sleep(time.Second)
		stop()
		if term, err := o.acquire("b", time.Minute); err != nil || !term.Leader {
			t.Errorf("behind the end of its holder: %+v, %v", term, err)
		}
	})
}

// start runs a scaler; the returned function stops it.
func start(o *memoryStore, s *fakeCluster, name string, change func(*autoscale.Options)) (*autoscale.Scaler, func()) {
	options := autoscale.Options{Policy: autoscale.Default(), Holder: name, Registry: s, Target: s, Lease: o, History: o}
	if change != nil {
		change(&options)
	}
	scaler := autoscale.New(options)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = scaler.Run(ctx)
	}()
	return scaler, func() { stop(); <-done }
}

// pass advances the fake time.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func TestScaler_OneDay_RecordsEachChangeOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := &memoryStore{}, &fakeCluster{own: 1, others: 1, load: 1}
		scaler, stop := start(o, s, "a", nil)
		defer stop()
		pass(time.Minute)
		s.set(func() { s.load = 1.8 })
		pass(time.Minute)
		if s.count() != 2 {
			t.Errorf("%d own nodes beside 1 for a load of 1.8", s.count())
		}
		s.set(func() { s.away = true })
		pass(time.Minute)
		s.set(func() { s.away = false; s.load = 0.5 })
		pass(30 * time.Minute)
		if s.count() != 0 {
			t.Errorf("%d own nodes beside 1 for a load of 0.5", s.count())
		}
		want := []string{
			"elected", "a decides from here on", "2 → 3", "ask for 3", "no_data", "Redis does not answer", "stabilising", "3 → 2", "2 → 1",
		}
		historyText := o.historyText()
		for rest, i := historyText, 0; i < len(want); i++ {
			_, after, found := strings.Cut(rest, want[i])
			if !found {
				t.Fatalf("the history lacks %q in its place:\n%s", want[i], historyText)
			}
			rest = after
		}
		if lines := strings.Count(historyText, "\n"); lines > 6 {
			t.Errorf("%d lines:\n%s", lines, historyText)
		}
		status := scaler.Status()
		if !status.Mine || status.Holder != "a" || status.Fault != "" || status.Ordered != 1 || status.Decision == nil || len(status.Nodes) != 1 {
			t.Errorf("%+v", status)
		}
		if page, err := scaler.History(t.Context(), 3, 1); err != nil || len(page) != 1 || page[0].Number != 2 {
			t.Errorf("%+v %v", page, err)
		}
	})
}

func TestScaler_DryRun_ChangesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := &memoryStore{}, &fakeCluster{own: 2, load: 1.7}
		_, stop := start(o, s, "a", func(o *autoscale.Options) { o.DryRun = true })
		defer stop()
		pass(20 * time.Minute)
		if s.count() != 2 || len(s.orders) > 0 {
			t.Errorf("%d nodes, %v", s.count(), s.orders)
		}
		if historyText := o.historyText(); strings.Count(historyText, "(dry run: not done)") != 1 || !strings.Contains(historyText, "2 → 3") {
			t.Errorf("history:\n%s", historyText)
		}
	})
}

// TestScaler_LeaderStopsOrHangs_NextOneContinues stops one scaler and suspends another, like a stopped process: it does not renew
// the lease, and continues later as if nothing had happened.
func TestScaler_LeaderStopsOrHangs_NextOneContinues(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := &memoryStore{}, &fakeCluster{own: 2, load: 1.2}
		_, stopA := start(o, s, "a", nil)
		pass(time.Minute)
		b, stopB := start(o, s, "b", nil)
		defer stopB()
		pass(time.Minute)
		if status := b.Status(); status.Mine || status.Holder != "a" {
			t.Errorf("two at once: %+v", status)
		}
		s.set(func() { s.load = 1.8 })
		pass(time.Minute)
		stopA()
		pass(10 * time.Second)
		if status := b.Status(); !status.Mine || o.token != 2 {
			t.Errorf("nobody took over: %+v", status)
		}
		if s.count() != 3 {
			t.Errorf("%d nodes", s.count())
		}
		if len(s.orders) != 1 || s.orders[0].Token != 1 {
			t.Errorf("orders: %+v", s.orders)
		}
	})
}

// TestScaler_SuspendedLeader_IsFenced makes the target check the lease in the middle of a change, after the lease was lost.
func TestScaler_SuspendedLeader_IsFenced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := &memoryStore{}, &fakeCluster{own: 2, load: 1.2}
		slowTarget := &suspendedTarget{s, make(chan struct{}), make(chan struct{})}
		a, stopA := start(o, s, "a", func(o *autoscale.Options) { o.Target = slowTarget })
		defer stopA()
		pass(time.Minute)
		s.set(func() { s.load = 1.9 })
		<-slowTarget.inside
		sleep := func(name string) { o.mu.Lock(); defer o.mu.Unlock(); o.asleep = name }
		sleep("a")
		pass(time.Minute) // a is suspended during its first step
		_, stopB := start(o, s, "b", nil)
		defer stopB()
		pass(time.Minute)
		after, steps := s.count(), len(s.orders)
		if o.token != 2 || after <= 2 {
			t.Fatalf("b did not take over: %d nodes\n%s", after, o.historyText())
		}
		sleep("")
		close(slowTarget.wake)
		pass(time.Minute)
		if s.count() != after || len(s.orders) != steps {
			t.Errorf("what slept had its effect: %d nodes\n%s", s.count(), o.historyText())
		}
		if status := a.Status(); status.Mine || status.Holder != "b" {
			t.Errorf("it does not know: %+v", status)
		}
	})
}

// suspendedTarget is a target whose scaler is suspended between the decision and the effect.
type suspendedTarget struct {
	*fakeCluster
	inside, wake chan struct{}
}

func (s *suspendedTarget) Resize(ctx context.Context, o autoscale.Order) error {
	close(s.inside)
	<-s.wake
	return s.fakeCluster.Resize(ctx, o)
}

func TestScaler_TargetFails_RecordsAndRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := &memoryStore{}, &fakeCluster{own: 2, load: 1.7, broken: errors.New("no more machines")}
		scaler, stop := start(o, s, "a", nil)
		defer stop()
		pass(10 * time.Minute)
		if historyText := o.historyText(); strings.Count(historyText, "target_failed") != 1 || !strings.Contains(historyText, "3 are wanted") || strings.Contains(historyText, "2 → 3") || !strings.Contains(historyText, "no more machines") {
			t.Errorf("history:\n%s", historyText)
		}
		if status := scaler.Status(); !strings.Contains(status.Fault, "no more machines") {
			t.Errorf("%+v", status)
		}
		s.set(func() { s.broken = nil })
		pass(time.Minute)
		if status := scaler.Status(); s.count() != 3 || status.Fault != "" {
			t.Errorf("%d nodes when it works again, %q", s.count(), status.Fault)
		}
	})
}

// TestScaler_RegistryUnavailable_StartsNothing holds, although foreign nodes are invisible then.
func TestScaler_RegistryUnavailable_StartsNothing(t *testing.T) {
	t.Parallel()
	for name, start0 := range map[string]bool{"from the start": true, "later": false} {
		synctest.Test(t, func(t *testing.T) {
			o, s := &memoryStore{}, &fakeCluster{others: 2, load: 1, away: start0}
			_, stop := start(o, s, "a", func(o *autoscale.Options) { o.Policy.Min = 2 })
			defer stop()
			pass(time.Minute)
			s.set(func() { s.away = true })
			pass(10 * time.Minute)
			if s.count() != 0 {
				t.Errorf("silent %s: %d nodes were started", name, s.count())
			}
		})
	}
}

func TestScaler_RegistryListsFewNodes_StartsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := &memoryStore{}, &fakeCluster{others: 3, load: 1}
		_, stop := start(o, s, "a", func(o *autoscale.Options) { o.Policy.Min = 3 })
		defer stop()
		pass(time.Minute)
		s.set(func() { s.others = 1 })
		pass(8 * time.Second)
		s.set(func() { s.others = 3 })
		pass(time.Minute)
		if len(s.orders) > 0 {
			t.Errorf("%+v", s.orders)
		}
		s.set(func() { s.others = 2 }) // this one does not come back
		pass(time.Minute)
		if s.count() != 1 {
			t.Errorf("%d nodes in place of one that is gone", s.count())
		}
	})
}

// TestScaler_LastLeadersClockAhead_DoesNotDelay: the clock was a day ahead.
func TestScaler_LastLeadersClockAhead_DoesNotDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ahead := time.Now().Add(24 * time.Hour).Format(time.RFC3339)
		o := &memoryStore{state: []byte(fmt.Sprintf(`{"lastUp":%q,"lastChange":%q}`, ahead, ahead))}
		s := &fakeCluster{own: 2, load: 1.8}
		_, stop := start(o, s, "a", nil)
		defer stop()
		pass(time.Minute)
		if s.count() != 3 {
			t.Errorf("%d nodes\n%s", s.count(), o.historyText())
		}
	})
}

func TestScaler_MalformedState_StartsFromScratch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := &memoryStore{state: []byte(`{"ordered":"many"}`)}, &fakeCluster{own: 2, load: 1.8}
		_, stop := start(o, s, "a", nil)
		defer stop()
		pass(time.Minute)
		if s.count() != 3 {
			t.Errorf("%d nodes\n%s", s.count(), o.historyText())
		}
	})
}

// TestScaler_OpaqueTarget_UsesTheLastOrder: it cannot report its number of nodes.
func TestScaler_OpaqueTarget_UsesTheLastOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := &memoryStore{}, &fakeCluster{own: 2, load: 1.7, blind: true}
		_, stop := start(o, s, "a", nil)
		pass(time.Minute)
		stop()
		if s.count() != 3 || len(s.orders) != 1 {
			t.Errorf("%d nodes by %d orders", s.count(), len(s.orders))
		}
		_, stop = start(o, s, "b", nil) // loads the state of a
		defer stop()
		s.set(func() { s.load = 0.3 })
		pass(6 * time.Minute)
		if s.count() != 2 {
			t.Errorf("%d nodes later", s.count())
		}
	})
}

func TestScaler_StoreUnavailable_Holds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, s := &memoryStore{}, &fakeCluster{own: 2, load: 1.2}
		scaler, stop := start(o, s, "a", nil)
		defer stop()
		pass(time.Minute)
		o.mu.Lock()
		o.fault = errors.New("PostgreSQL does not answer")
		o.mu.Unlock()
		s.set(func() { s.load = 1.9 })
		pass(time.Minute)
		if status := scaler.Status(); status.Mine || !strings.Contains(status.Fault, "lease: PostgreSQL does not answer") || s.count() != 2 {
			t.Errorf("%d nodes, %+v", s.count(), status)
		}
		o.mu.Lock()
		o.fault = nil
		o.mu.Unlock()
		pass(time.Minute)
		if s.count() <= 2 || strings.Count(o.historyText(), "elected") != 1 {
			t.Errorf("%d nodes when it answers\n%s", s.count(), o.historyText())
		}
	})
}
