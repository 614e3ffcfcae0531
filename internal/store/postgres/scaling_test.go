package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/autoscale"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
)

// long is a lease that does not expire during a test; brief is one that expires at once.
const (
	long  = time.Hour
	brief = time.Millisecond
)

func acquire(t *testing.T, s *postgres.Scaling, holder string, ttl time.Duration) autoscale.Term {
	t.Helper()
	term, err := s.Acquire(t.Context(), holder, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return term
}

// takeOver calls Acquire until the current lease has expired.
func takeOver(t *testing.T, s *postgres.Scaling, holder string) autoscale.Term {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for time.Now().Before(deadline) {
		if term, err := s.Acquire(t.Context(), holder, long); err == nil && term.Leader {
			return term
		}
	}
	t.Fatal("the lease did not expire within a minute")
	return autoscale.Term{}
}

// wantHolder checks the current holder; empty if the lease must be free.
func wantHolder(t *testing.T, s *postgres.Scaling, want string) {
	t.Helper()
	if holder, err := s.Holder(t.Context()); err != nil || holder != want {
		t.Errorf("holder: got %q, %v; want %q", holder, err, want)
	}
}

// nothing is an effect without an effect.
func nothing(context.Context) error { return nil }

// TestScaling_Acquire_GrantsOneHolder follows the lease over several holders.
func TestScaling_Acquire_GrantsOneHolder(t *testing.T) {
	s := open(t, newDatabase(t), postgres.Options{}).Scaling()
	wantHolder(t, s, "")
	a := acquire(t, s, "a", long)
	if !a.Leader || a.Token != 1 || a.Holder != "a" {
		t.Errorf("first holder: got %+v", a)
	}
	wantHolder(t, s, "a")
	if b := acquire(t, s, "b", long); b.Leader || b.Holder != "a" || b.Token != 1 {
		t.Errorf("second holder while the lease is held: got %+v", b)
	}
	if again := acquire(t, s, "a", brief); again != a {
		t.Errorf("renewal: got %+v, want the same term", again)
	}
	if b := takeOver(t, s, "b"); b.Token != 2 {
		t.Errorf("after expiry: got %+v, want token 2", b)
	}
	if err := s.Release(t.Context(), a); err != nil {
		t.Error(err)
	}
	if c := acquire(t, s, "c", long); c.Leader {
		t.Error("an expired term released the lease of its successor")
	}
	wantHolder(t, s, "b")
	if err := s.Release(t.Context(), autoscale.Term{Holder: "b", Token: 2}); err != nil {
		t.Error(err)
	}
	wantHolder(t, s, "")
	if c := acquire(t, s, "c", long); !c.Leader || c.Token != 3 {
		t.Errorf("after release: got %+v, want token 3", c)
	}
}

// TestScaling_ConcurrentAcquire_GrantsOne: one of many gets a free lease, and every term has a new token.
func TestScaling_ConcurrentAcquire_GrantsOne(t *testing.T) {
	s := open(t, newDatabase(t), postgres.Options{}).Scaling()
	for round := range uint64(20) {
		terms := make([]autoscale.Term, 8)
		var group sync.WaitGroup
		for i := range terms {
			group.Go(func() {
				var err error
				if terms[i], err = s.Acquire(t.Context(), fmt.Sprint(round, "/", i), long); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		held := slices.DeleteFunc(terms, func(term autoscale.Term) bool { return !term.Leader })
		if len(held) != 1 || held[0].Token != round+1 {
			t.Fatalf("round %d: got holders %+v, want one with the next token", round, held)
		}
		if err := s.Release(t.Context(), held[0]); err != nil {
			t.Fatal(err)
		}
	}
}

// TestScaling_ExpiredLease_StaysUntilTakeover: an expired lease belongs to its holder until another one takes over.
func TestScaling_ExpiredLease_StaysUntilTakeover(t *testing.T) {
	s := open(t, newDatabase(t), postgres.Options{}).Scaling()
	a := acquire(t, s, "a", brief)
	if err := s.Guard(t.Context(), a, nothing); err != nil {
		t.Error(err)
	}
	if again := acquire(t, s, "a", long); again != a {
		t.Errorf("renewal: got %+v, want %+v", again, a)
	}
}

// TestScaling_AfterTakeover_OldHolderIsFenced: the old holder can neither write nor run effects.
func TestScaling_AfterTakeover_OldHolderIsFenced(t *testing.T) {
	s := open(t, newDatabase(t), postgres.Options{}).Scaling()
	a := acquire(t, s, "a", brief)
	if err := s.Write(t.Context(), a, &autoscale.Entry{Why: "first"}, []byte(`{"ordered": 3}`)); err != nil {
		t.Fatal(err)
	}
	b := takeOver(t, s, "b")
	if err := s.Write(t.Context(), a, &autoscale.Entry{Why: "late"}, []byte(`{"ordered": 9}`)); !errors.Is(err, autoscale.ErrFenced) {
		t.Errorf("write: got %v, want ErrFenced", err)
	}
	ran := false
	if err := s.Guard(t.Context(), a, func(context.Context) error { ran = true; return nil }); !errors.Is(err, autoscale.ErrFenced) || ran {
		t.Errorf("guard: got %v, want ErrFenced; effect ran: %v", err, ran)
	}
	state, err := s.Load(t.Context())
	if err != nil || string(state) != `{"ordered": 3}` {
		t.Errorf("got state %s, %v; want that of the first write", state, err)
	}
	if err := s.Write(t.Context(), b, &autoscale.Entry{Why: "second", At: 5, From: 1, To: 2}, state); err != nil {
		t.Error(err)
	}
	entries, err := s.History(t.Context(), 0, 10)
	if err != nil || len(entries) != 2 || entries[0].Why != "second" || entries[0].At != 5 || entries[0].To != 2 || entries[1].Why != "first" {
		t.Errorf("got history %+v, %v; want second and first", entries, err)
	}
	older, err := s.History(t.Context(), entries[0].Number, 10)
	if err != nil || len(older) != 1 || older[0] != entries[1] {
		t.Errorf("history before the newest entry: got %+v, %v", older, err)
	}
}

// TestScaling_NewDatabase_IsEmpty: without a write there is no state and no history.
func TestScaling_NewDatabase_IsEmpty(t *testing.T) {
	s := open(t, newDatabase(t), postgres.Options{}).Scaling()
	if state, err := s.Load(t.Context()); state != nil || err != nil {
		t.Errorf("new database: got state %s, %v; want none", state, err)
	}
	acquire(t, s, "a", long)
	if state, err := s.Load(t.Context()); state != nil || err != nil {
		t.Errorf("after Acquire: got state %s, %v; want none", state, err)
	}
	if entries, err := s.History(t.Context(), 0, 10); len(entries) > 0 || err != nil {
		t.Errorf("got history %v, %v; want none", entries, err)
	}
}

// TestScaling_GuardRunning_DelaysTakeover: a takeover waits for a guarded effect, but event readers do not.
func TestScaling_GuardRunning_DelaysTakeover(t *testing.T) {
	store := open(t, newDatabase(t), postgres.Options{})
	s := store.Scaling()
	a := acquire(t, s, "a", brief)
	inside, took := make(chan struct{}), make(chan error, 1)
	var done atomic.Bool
	go func() { // ends with the takeover
		<-inside
		for {
			term, err := s.Acquire(context.WithoutCancel(t.Context()), "b", long)
			if err != nil || term.Leader {
				if err == nil && !done.Load() {
					err = errors.New("the lease was taken over during the effect")
				}
				took <- err
				return
			}
		}
	}()
	err := s.Guard(t.Context(), a, func(ctx context.Context) error {
		close(inside)
		business := esh3ar.NewBusinessID()
		m := message(business, 967770000001)
		if _, err := store.Append(ctx, []*esh3ar.Call{{Business: business, Messages: []*esh3ar.Message{m}}}); err != nil {
			return err
		}
		page, err := store.Events(ctx, esh3ar.EventQuery{Limit: 10})
		if err == nil && len(page.Entries) != 1 {
			err = errors.New("the event log waited for the effect")
		}
		done.Store(true)
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if err := <-took; err != nil {
		t.Error(err)
	}
}

// TestScaling_History_IsBounded writes to a history that is longer than its bound.
func TestScaling_History_IsBounded(t *testing.T) {
	url := newDatabase(t)
	s := open(t, url, postgres.Options{}).Scaling()
	a := acquire(t, s, "a", long)
	if _, err := connect(t, url).Exec(t.Context(), `INSERT INTO scaling_diary (entry) SELECT '{"why": "old"}' FROM generate_series(1, 2500)`); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), a, &autoscale.Entry{Why: "new"}, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	entries, err := s.History(t.Context(), 0, 5000)
	if err != nil || len(entries) != 2001 || entries[0].Why != "new" {
		t.Errorf("got %d entries, %v; want 2001, the newest first", len(entries), err)
	}
}

// holderURL is the environment variable that turns the test binary into a process that takes the lease and blocks in an
// effect.
const holderURL = "ESH3AR_TEST_HOLDER_URL"

// holdForLong is the main function of that process. It prints "inside" during its effect, waits for a line of input, and
// prints the results.
func holdForLong(url string) int {
	ctx := context.Background()
	store, err := postgres.Open(ctx, url, postgres.Options{CallTimeout: time.Second})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	s := store.Scaling()
	term, err := s.Acquire(ctx, "paused", brief)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	in := bufio.NewReader(os.Stdin)
	err = s.Guard(ctx, term, func(context.Context) error {
		fmt.Println("inside")
		_, err := in.ReadString('\n')
		return err
	})
	fmt.Println("effect:", err)
	fmt.Println("diary:", s.Write(ctx, term, &autoscale.Entry{Why: "late"}, []byte("{}")))
	return 0
}

// TestScaling_HolderStopped_IsFenced stops a process during an effect. Another holder takes over, and the first one gets
// ErrFenced when it continues.
func TestScaling_HolderStopped_IsFenced(t *testing.T) {
	url := newDatabase(t)
	s := open(t, url, postgres.Options{}).Scaling()
	holder := exec.Command(os.Args[0])
	holder.Env = append(os.Environ(), holderURL+"="+url)
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = errors.Join(holder.Process.Kill(), holder.Wait()) }()
	said := bufio.NewReader(out)
	if line, err := said.ReadString('\n'); err != nil || line != "inside\n" {
		t.Fatalf("got %q, %v; want inside", line, err)
	}
	if err := holder.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	term := takeOver(t, s, "next")
	if err := s.Write(t.Context(), term, &autoscale.Entry{Why: "taken over"}, []byte("{}")); err != nil || term.Token != 2 {
		t.Errorf("write of the new holder: term %+v, %v", term, err)
	}
	if err := holder.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(in, "\n"); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(said)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(rest), "effect: "+autoscale.ErrFenced.Error()) || !strings.Contains(string(rest), "diary: "+autoscale.ErrFenced.Error()) {
		t.Errorf("output of the stopped holder: %s, want ErrFenced twice", rest)
	}
	if entries, err := s.History(t.Context(), 0, 10); err != nil || len(entries) != 1 || entries[0].Why != "taken over" {
		t.Errorf("got history %+v, %v; want the new holder's entry only", entries, err)
	}
}

// TestDryRun_BesideHolder_ChangesNoState: a dry run neither takes the lease nor writes state, and its entries count
// towards the bound of the history.
func TestDryRun_BesideHolder_ChangesNoState(t *testing.T) {
	url := newDatabase(t)
	s := open(t, url, postgres.Options{}).Scaling()
	r := s.DryRun()
	dry, err := r.Acquire(t.Context(), "dry", long)
	if err != nil || !dry.Leader {
		t.Fatalf("got %+v, %v; want a held term", dry, err)
	}
	wantHolder(t, s, "")
	a := acquire(t, s, "a", long)
	if err := s.Write(t.Context(), a, &autoscale.Entry{Why: "done"}, []byte(`{"ordered": 3}`)); err != nil {
		t.Fatal(err)
	}
	if err := r.Write(t.Context(), dry, &autoscale.Entry{Why: "not done"}, []byte(`{"ordered": 9}`)); err != nil {
		t.Fatal(err)
	}
	if err := r.Guard(t.Context(), dry, func(context.Context) error { t.Error("a dry run called the effect"); return nil }); !errors.Is(err, autoscale.ErrFenced) {
		t.Error(err)
	}
	if state, err := s.Load(t.Context()); err != nil || string(state) != `{"ordered": 3}` {
		t.Errorf("got state %s, %v; want the holder's", state, err)
	}
	if state, err := r.Load(t.Context()); err != nil || state != nil {
		t.Errorf("dry run: got state %s, %v; want none", state, err)
	}
	if entries, err := r.History(t.Context(), 0, 10); err != nil || len(entries) != 2 || entries[0].Why != "not done" {
		t.Errorf("got history %+v, %v; want both entries", entries, err)
	}
	if err := r.Release(t.Context(), dry); err != nil {
		t.Error(err)
	}
	wantHolder(t, s, "a")
	if _, err := connect(t, url).Exec(t.Context(), `INSERT INTO scaling_diary (entry) SELECT '{"why": "old"}' FROM generate_series(1, 2500)`); err != nil {
		t.Fatal(err)
	}
	if err := r.Write(t.Context(), dry, &autoscale.Entry{Why: "not done"}, nil); err != nil {
		t.Fatal(err)
	}
	if entries, err := s.History(t.Context(), 0, 5000); err != nil || len(entries) != 2001 {
		t.Errorf("got %d entries, %v; want 2001", len(entries), err)
	}
}
