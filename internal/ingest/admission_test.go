package ingest_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ingest"
)

func levelCall(level esh3ar.Level, p esh3ar.Priority, content string) *esh3ar.Call {
	c := call(esh3ar.NewBusinessID(), p, content)
	c.Level = level
	return c
}

// newSerialFixture returns an intake with at most one message in flight and room for maxWaiting waiting messages.
func newSerialFixture(t *testing.T, maxWaiting int) *fixture {
	return newFixture(t, ingest.Options{LaneMessages: maxWaiting, MinInFlight: 1, MaxInFlight: 1, Linger: time.Microsecond})
}

func TestAdmission_Queue_OrdersByLevelPriorityAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newSerialFixture(t, 20)
		dones := []<-chan error{r.blockCommit(t)}
		for _, c := range []*esh3ar.Call{
			levelCall(esh3ar.Basic, esh3ar.Urgent, "basic urgent"),
			levelCall(esh3ar.Enterprise, esh3ar.Low, "enterprise low, first"),
			levelCall(esh3ar.Premium, esh3ar.Normal, "premium"),
			levelCall(esh3ar.Enterprise, esh3ar.High, "enterprise high"),
			levelCall(esh3ar.Enterprise, esh3ar.Low, "enterprise low, last"),
			levelCall(esh3ar.Basic, esh3ar.Low, "basic low"),
		} {
			dones = append(dones, r.submit(t.Context(), c))
			synctest.Wait()
		}
		if f := r.in.Admission(); f.Waiting != 6 || f.InFlight != 1 || f.Limit != 1 {
			t.Errorf("got %+v, want 6 waiting, 1 in flight and limit 1", f)
		}
		r.releaseCommits()
		for _, done := range dones {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		want := []string{"running", "enterprise high", "enterprise low, first", "enterprise low, last", "premium", "basic urgent", "basic low"}
		if !slices.Equal(r.stored, want) {
			t.Errorf("got stored %q\nwant       %q", r.stored, want)
		}
		r.stop()
		close(r.began)
	})
}

// TestAdmission_LongWaits_AdmitsNewestFirst: the oldest call has waited for more than half of its timeout.
func TestAdmission_LongWaits_AdmitsNewestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, ingest.Options{LaneMessages: 20, MinInFlight: 1, MaxInFlight: 1, Linger: time.Microsecond, AdmissionTimeout: 2 * time.Second})
		dones := []<-chan error{r.blockCommit(t)}
		for i, content := range []string{"first", "second", "third"} {
			time.Sleep(time.Duration(i) * 400 * time.Millisecond) // the first waits for 1.2 s then
			dones = append(dones, r.submit(t.Context(), levelCall(esh3ar.Basic, esh3ar.Normal, content)))
			synctest.Wait()
		}
		r.releaseCommits()
		for _, done := range dones {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if want := []string{"running", "third", "second", "first"}; !slices.Equal(r.stored, want) {
			t.Errorf("got stored %q, want %q", r.stored, want)
		}
		r.stop()
		close(r.began)
	})
}

// TestAdmission_QueueFull_EvictsLowest: a full queue evicts basic before premium before enterprise, low before urgent, and the oldest
// first. A refused call is answered at once, with a Retry-After.
func TestAdmission_QueueFull_EvictsLowest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newSerialFixture(t, 4)
		held := r.blockCommit(t)
		start, refused := time.Now(), map[string]bool{}
		var mu sync.Mutex
		var waiting sync.WaitGroup
		wantRefused := func(want ...string) { // of the calls answered so far
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			for content, was := range refused {
				if was != slices.Contains(want, content) {
					t.Errorf("%s: got refused %t, want refused calls %q", content, was, want)
				}
			}
		}
		arrive := func(level esh3ar.Level, p esh3ar.Priority, content string) {
			waiting.Go(func() {
				_, err := r.in.Submit(t.Context(), levelCall(level, p, content))
				mu.Lock()
				defer mu.Unlock()
				if e := (*esh3ar.Error)(nil); errors.As(err, &e) && e.RetryAfter != time.Second {
					t.Errorf("%s: got Retry-After %s, want 1s", content, e.RetryAfter)
				}
				refused[content] = err != nil
				if err != nil && (esh3ar.CodeOf(err) != esh3ar.Overloaded || time.Since(start) > 0) {
					t.Errorf("%s: got %v after %s, want overloaded at once", content, err, time.Since(start))
				}
			})
			synctest.Wait()
		}
		arrive(esh3ar.Basic, esh3ar.Normal, "b1")
		arrive(esh3ar.Basic, esh3ar.Normal, "b2")
		arrive(esh3ar.Basic, esh3ar.Low, "b low")
		arrive(esh3ar.Premium, esh3ar.Low, "p1")
		arrive(esh3ar.Premium, esh3ar.Normal, "p2") // evicts "b low"
		arrive(esh3ar.Enterprise, esh3ar.Low, "e1") // evicts "b1"
		wantRefused("b low", "b1")
		arrive(esh3ar.Basic, esh3ar.Normal, "b3") // is shed: no call is below it
		wantRefused("b low", "b1", "b3")
		arrive(esh3ar.Enterprise, esh3ar.Low, "e2") // evicts "b2"
		arrive(esh3ar.Enterprise, esh3ar.Low, "e3") // evicts "p1"
		if f := r.in.Admission(); f.Shed != [esh3ar.Levels]uint64{4, 1, 0} || f.Waiting != 4 {
			t.Errorf("got %+v, want 4 basic and 1 premium shed, 4 waiting", f)
		}
		r.releaseCommits()
		waiting.Wait()
		if err := <-held; err != nil {
			t.Error(err)
		}
		for content, was := range refused {
			if want := slices.Contains([]string{"b1", "b2", "b3", "b low", "p1"}, content); was != want || slices.Contains(r.stored, content) == was {
				t.Errorf("%s: got refused %t, stored %q; want refused %t and stored otherwise", content, was, r.stored, want)
			}
		}
		r.stop()
		close(r.began)
	})
}

func TestAdmission_Waiting_EndsWithTimeoutOrCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newSerialFixture(t, 20)
		held := r.blockCommit(t)
		start := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		canceled := r.submit(ctx, levelCall(esh3ar.Premium, esh3ar.Normal, "canceled"))
		waiter := r.submit(t.Context(), levelCall(esh3ar.Basic, esh3ar.Normal, "waits"))
		synctest.Wait()
		cancel()
		if err := <-canceled; esh3ar.CodeOf(err) != esh3ar.Abandoned {
			t.Errorf("canceled call: got %v, want abandoned", err)
		}
		err := <-waiter
		if took := time.Since(start); esh3ar.CodeOf(err) != esh3ar.Overloaded || took <= 750*time.Millisecond || took > time.Second {
			t.Errorf("waiting call: got %v after %s, want overloaded after 0.75 to 1 s", err, took)
		}
		if f := r.in.Admission(); f.Waiting != 0 || f.Shed[esh3ar.Basic] != 1 {
			t.Errorf("got %+v, want none waiting and 1 basic call shed", f)
		}
		r.releaseCommits()
		if err := <-held; err != nil {
			t.Error(err)
		}
		r.stop()
		close(r.began)
	})
}

// TestAdmission_DeclaredRate_IsNotExceeded offers twice the declared rate: calls are admitted at that rate, higher levels first.
func TestAdmission_DeclaredRate_IsNotExceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := ingest.New(nopStore{}, nopPublisher{}, ingest.Options{Rate: 300, AdmissionTimeout: 200 * time.Millisecond})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- in.Run(ctx) }()
		var mu sync.Mutex
		var callers sync.WaitGroup
		served := map[esh3ar.Level]int{}
		for i := range 6000 { // ten seconds with 600 calls a second, 200 of each level
			level := esh3ar.Level(i % esh3ar.Levels)
			callers.Go(func() {
				if _, err := in.Submit(t.Context(), levelCall(level, esh3ar.Normal, "m")); err == nil {
					mu.Lock()
					served[level]++
					mu.Unlock()
				}
			})
			time.Sleep(time.Second / 600)
		}
		callers.Wait()
		b, p, e := served[esh3ar.Basic], served[esh3ar.Premium], served[esh3ar.Enterprise]
		if sum := b + p + e; sum < 2950 || sum > 3100 {
			t.Errorf("got %d calls served in ten seconds, want 3,000", sum)
		}
		if e < 1990 || p < 900 || b > 100 {
			t.Errorf("got served basic %d, premium %d, enterprise %d, want about 0, 1,000 and 2,000", b, p, e)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestIntake_Stop_RefusesWaitingCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &fixture{gatedStore: newGatedStore(), pub: &recorder{}}
		r.in = ingest.New(r.gatedStore, r.pub, ingest.Options{LaneMessages: 4, MinInFlight: 1, MaxInFlight: 1}) // Run is not started yet
		admitted := r.submit(t.Context(), levelCall(esh3ar.Basic, esh3ar.Low, "admitted"))
		synctest.Wait()
		waits := r.submit(t.Context(), levelCall(esh3ar.Enterprise, esh3ar.Urgent, "waits"))
		synctest.Wait()
		stopped, stop := context.WithCancel(t.Context())
		stop()
		ended := make(chan error, 1)
		go func() { ended <- r.in.Run(stopped) }()
		if err := <-waits; esh3ar.CodeOf(err) != esh3ar.Overloaded {
			t.Errorf("waiting call: got %v, want overloaded", err)
		}
		<-r.began
		r.result <- nil
		for _, done := range []<-chan error{admitted, ended} {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if !slices.Equal(r.stored, []string{"admitted"}) {
			t.Errorf("got stored %q, want the admitted call", r.stored)
		}
	})
}

// TestAdmission_SlowStore_LowersLimit: with more callers than the store can serve within the target the limit falls, and each answer
// matches the store.
func TestAdmission_SlowStore_LowersLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowStore{each: 100 * time.Microsecond, stored: map[esh3ar.MessageID]int{}}
		in := ingest.New(store, &recorder{}, ingest.Options{LaneMessages: 2000, MinInFlight: 8, Linger: time.Microsecond, AdmissionTimeout: 200 * time.Millisecond})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- in.Run(ctx) }()
		var callers sync.WaitGroup
		var mu sync.Mutex
		served := map[esh3ar.Level]int{}
		for i := range 1200 {
			level := esh3ar.Level(i % esh3ar.Levels)
			callers.Go(func() {
				random := rand.New(rand.NewPCG(uint64(i), 1))
				for range 10 {
					c := levelCall(level, esh3ar.Priority(random.IntN(esh3ar.Priorities)), "m")
					_, err := in.Submit(t.Context(), c)
					if n := store.count(c.Messages[0].ID); (err == nil) != (n == 1) || err != nil && esh3ar.CodeOf(err) != esh3ar.Overloaded {
						t.Errorf("got answer %v for a call stored %d times", err, n)
					}
					if err == nil {
						mu.Lock()
						served[level]++
						mu.Unlock()
					}
					time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
				}
			})
		}
		callers.Wait()
		if n := in.Admission().Limit; n > 150 {
			t.Errorf("got limit %d, want at most 150: 100 messages take 10 ms", n)
		}
		b, p, e := served[esh3ar.Basic], served[esh3ar.Premium], served[esh3ar.Enterprise]
		if e < p || p < b || b == e {
			t.Errorf("got served basic %d, premium %d, enterprise %d, want rising numbers", b, p, e)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// slowStore is a store whose commits take a fixed time per message.
type slowStore struct {
	each   time.Duration
	mu     sync.Mutex
	stored map[esh3ar.MessageID]int
}

func (s *slowStore) Append(_ context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	time.Sleep(s.each * time.Duration(len(calls)))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range calls {
		s.stored[c.Messages[0].ID]++
	}
	return make([]esh3ar.Answer, len(calls)), nil
}

func (s *slowStore) count(id esh3ar.MessageID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored[id]
}

// TestAdmission_QueueFullOfBytes_Sheds fills the queue with large calls three times: their bytes must be freed when they time out.
func TestAdmission_QueueFullOfBytes_Sheds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large := func() *esh3ar.Call { return levelCall(esh3ar.Basic, esh3ar.Normal, strings.Repeat("x", 1000)) }
		r := newFixture(t, ingest.Options{
			LaneMessages: 100, LaneBytes: large().Size() * 5 / 2, MinInFlight: 1, MaxInFlight: 1, Linger: time.Microsecond, AdmissionTimeout: time.Second,
		})
		held := r.blockCommit(t)
		for range 3 {
			first, second := r.submit(t.Context(), large()), r.submit(t.Context(), large())
			synctest.Wait()
			if f := r.in.Admission(); f.Waiting != 2 {
				t.Errorf("got %d waiting messages, want 2", f.Waiting)
			}
			began := time.Now()
			if err := <-r.submit(t.Context(), large()); esh3ar.CodeOf(err) != esh3ar.Overloaded || time.Since(began) > 0 {
				t.Errorf("third call, with room for two and a half: got %v after %s, want overloaded at once", err, time.Since(began))
			}
			for _, done := range []<-chan error{first, second} {
				if err := <-done; esh3ar.CodeOf(err) != esh3ar.Overloaded {
					t.Errorf("waiting call: got %v, want overloaded", err)
				}
			}
			if time.Since(began) < 500*time.Millisecond {
				t.Errorf("the first two calls were refused after %s, want at least 500ms", time.Since(began))
			}
		}
		r.releaseCommits()
		if err := <-held; err != nil {
			t.Error(err)
		}
		r.stop()
		close(r.began)
	})
}
