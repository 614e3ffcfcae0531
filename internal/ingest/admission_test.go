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

// narrow is an intake that works on one message at a time.
func narrow(t *testing.T, room int) *rig {
	return newRig(t, ingest.Options{LaneMessages: room, MinInFlight: 1, MaxInFlight: 1, Linger: time.Microsecond})
}

// TestTheDoorLetsInByLevelThenPriorityThenAge: and everybody within his patience is stored.
func TestTheDoorLetsInByLevelThenPriorityThenAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := narrow(t, 20)
		dones := []<-chan error{r.hold(t)}
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
			t.Errorf("%+v", f)
		}
		r.letThrough()
		for _, done := range dones {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		want := []string{"running", "enterprise high", "enterprise low, first", "enterprise low, last", "premium", "basic urgent", "basic low"}
		if !slices.Equal(r.stored, want) {
			t.Errorf("stored %q\nwant   %q", r.stored, want)
		}
		r.stop()
		close(r.enter)
	})
}

// TestWhereWaitsAreLongTheNewestEnters: who came first has waited for more than half of what he may.
func TestWhereWaitsAreLongTheNewestEnters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, ingest.Options{LaneMessages: 20, MinInFlight: 1, MaxInFlight: 1, Linger: time.Microsecond, AdmissionTimeout: 2 * time.Second})
		dones := []<-chan error{r.hold(t)}
		for i, content := range []string{"first", "second", "third"} {
			time.Sleep(time.Duration(i) * 400 * time.Millisecond) // the first waits for 1.2 s then
			dones = append(dones, r.submit(t.Context(), levelCall(esh3ar.Basic, esh3ar.Normal, content)))
			synctest.Wait()
		}
		r.letThrough()
		for _, done := range dones {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if want := []string{"running", "third", "second", "first"}; !slices.Equal(r.stored, want) {
			t.Errorf("stored %q, want %q", r.stored, want)
		}
		r.stop()
		close(r.enter)
	})
}

// TestAFullDoorShedsTheLowest: basic before premium before enterprise, low before urgent, the oldest first; who is shed hears
// at once, and when to come again.
func TestAFullDoorShedsTheLowest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := narrow(t, 4)
		held := r.hold(t)
		start, refused := time.Now(), map[string]bool{}
		var mu sync.Mutex
		var waiting sync.WaitGroup
		gone := func(want ...string) { // until now
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			for content, was := range refused {
				if was != slices.Contains(want, content) {
					t.Errorf("%s was refused: %t, want %q", content, was, want)
				}
			}
		}
		come := func(level esh3ar.Level, p esh3ar.Priority, content string) {
			waiting.Go(func() {
				_, err := r.in.Submit(t.Context(), levelCall(level, p, content))
				mu.Lock()
				defer mu.Unlock()
				if e := (*esh3ar.Error)(nil); errors.As(err, &e) && e.RetryAfter != time.Second {
					t.Errorf("%s: to come again after %s", content, e.RetryAfter)
				}
				if refused[content] = err != nil; err != nil && (esh3ar.CodeOf(err) != esh3ar.Overloaded || time.Since(start) > 0) {
					t.Errorf("%s: %v after %s", content, err, time.Since(start))
				}
			})
			synctest.Wait()
		}
		come(esh3ar.Basic, esh3ar.Normal, "b1")
		come(esh3ar.Basic, esh3ar.Normal, "b2")
		come(esh3ar.Basic, esh3ar.Low, "b low")
		come(esh3ar.Premium, esh3ar.Low, "p1")
		come(esh3ar.Premium, esh3ar.Normal, "p2") // "b low" leaves
		come(esh3ar.Enterprise, esh3ar.Low, "e1") // "b1" leaves
		gone("b low", "b1")
		come(esh3ar.Basic, esh3ar.Normal, "b3") // does not get in: nobody is below him
		gone("b low", "b1", "b3")
		come(esh3ar.Enterprise, esh3ar.Low, "e2") // "b2" leaves
		come(esh3ar.Enterprise, esh3ar.Low, "e3") // "p1" leaves
		if f := r.in.Admission(); f.Shed != [esh3ar.Levels]uint64{4, 1, 0} || f.Waiting != 4 {
			t.Errorf("%+v", f)
		}
		r.letThrough()
		waiting.Wait()
		if err := <-held; err != nil {
			t.Error(err)
		}
		for content, was := range refused {
			if left := slices.Contains([]string{"b1", "b2", "b3", "b low", "p1"}, content); left != was || slices.Contains(r.stored, content) == was {
				t.Errorf("%s was refused: %t; stored %q", content, was, r.stored)
			}
		}
		r.stop()
		close(r.enter)
	})
}

func TestNobodyWaitsAtTheDoorForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := narrow(t, 20)
		held := r.hold(t)
		start := time.Now()
		ctx, leave := context.WithCancel(t.Context())
		leaver := r.submit(ctx, levelCall(esh3ar.Premium, esh3ar.Normal, "leaves"))
		waiter := r.submit(t.Context(), levelCall(esh3ar.Basic, esh3ar.Normal, "waits"))
		synctest.Wait()
		leave()
		if err := <-leaver; esh3ar.CodeOf(err) != esh3ar.Abandoned {
			t.Error(err)
		}
		err := <-waiter
		if took := time.Since(start); esh3ar.CodeOf(err) != esh3ar.Overloaded || took <= 750*time.Millisecond || took > time.Second {
			t.Errorf("%v after %s", err, took)
		}
		if f := r.in.Admission(); f.Waiting != 0 || f.Shed[esh3ar.Basic] != 1 {
			t.Errorf("%+v", f)
		}
		r.letThrough()
		if err := <-held; err != nil {
			t.Error(err)
		}
		r.stop()
		close(r.enter)
	})
}

// TestADeclaredCapacityIsKept: at twice of it, everything is admitted at that rate, the higher levels first.
func TestADeclaredCapacityIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := ingest.New(idle{}, quiet{}, ingest.Options{Rate: 300, AdmissionTimeout: 200 * time.Millisecond})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- in.Run(ctx) }()
		var mu sync.Mutex
		var callers sync.WaitGroup
		served := map[esh3ar.Level]int{}
		for i := range 6000 { // ten seconds, 600 a second, 200 of each level
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
			t.Errorf("%d were served in ten seconds, want 3,000", sum)
		}
		if e < 1990 || p < 900 || b > 100 {
			t.Errorf("served: basic %d, premium %d, enterprise %d", b, p, e)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestAStopRefusesWhoWaitsAtTheDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &rig{gate: newGate(), pub: &published{}}
		r.in = ingest.New(r.gate, r.pub, ingest.Options{LaneMessages: 4, MinInFlight: 1, MaxInFlight: 1}) // nobody commits yet
		admitted := r.submit(t.Context(), levelCall(esh3ar.Basic, esh3ar.Low, "admitted"))
		synctest.Wait()
		waits := r.submit(t.Context(), levelCall(esh3ar.Enterprise, esh3ar.Urgent, "waits"))
		synctest.Wait()
		stopped, stop := context.WithCancel(t.Context())
		stop()
		ended := make(chan error, 1)
		go func() { ended <- r.in.Run(stopped) }()
		if err := <-waits; esh3ar.CodeOf(err) != esh3ar.Overloaded {
			t.Error(err)
		}
		<-r.enter
		r.result <- nil
		for _, done := range []<-chan error{admitted, ended} {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if !slices.Equal(r.stored, []string{"admitted"}) {
			t.Errorf("stored %q", r.stored)
		}
	})
}

// TestTheLimitFollowsTheStore: with more callers than the store takes in time the limit comes down, and every answer is true.
func TestTheLimitFollowsTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &measured{each: 100 * time.Microsecond, stored: map[esh3ar.MessageID]int{}}
		in := ingest.New(store, &published{}, ingest.Options{LaneMessages: 2000, MinInFlight: 8, Linger: time.Microsecond, AdmissionTimeout: 200 * time.Millisecond})
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
						t.Errorf("answer %v, stored %d times", err, n)
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
			t.Errorf("limit %d; 100 messages are stored in 10 ms", n)
		}
		b, p, e := served[esh3ar.Basic], served[esh3ar.Premium], served[esh3ar.Enterprise]
		if e < p || p < b || b == e {
			t.Errorf("served: basic %d, premium %d, enterprise %d", b, p, e)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// measured is a store that takes a time for each message.
type measured struct {
	each   time.Duration
	mu     sync.Mutex
	stored map[esh3ar.MessageID]int
}

func (s *measured) Append(_ context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	time.Sleep(s.each * time.Duration(len(calls)))
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range calls {
		s.stored[c.Messages[0].ID]++
	}
	return make([]esh3ar.Answer, len(calls)), nil
}

func (s *measured) count(id esh3ar.MessageID) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored[id]
}

// TestTheDoorHasRoomForSoManyBytes, and has it again when those who waited are gone.
func TestTheDoorHasRoomForSoManyBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		large := func() *esh3ar.Call { return levelCall(esh3ar.Basic, esh3ar.Normal, strings.Repeat("x", 1000)) }
		r := newRig(t, ingest.Options{
			LaneMessages: 100, LaneBytes: large().Size() * 5 / 2, MinInFlight: 1, MaxInFlight: 1, Linger: time.Microsecond, AdmissionTimeout: time.Second,
		})
		held := r.hold(t)
		for range 3 {
			first, second := r.submit(t.Context(), large()), r.submit(t.Context(), large())
			synctest.Wait()
			if f := r.in.Admission(); f.Waiting != 2 {
				t.Errorf("%d wait, want 2", f.Waiting)
			}
			began := time.Now()
			if err := <-r.submit(t.Context(), large()); esh3ar.CodeOf(err) != esh3ar.Overloaded || time.Since(began) > 0 {
				t.Errorf("a third, of two and a half: %v after %s", err, time.Since(began))
			}
			for _, done := range []<-chan error{first, second} {
				if err := <-done; esh3ar.CodeOf(err) != esh3ar.Overloaded {
					t.Error(err)
				}
			}
			if time.Since(began) < 500*time.Millisecond {
				t.Errorf("two had room, for %s", time.Since(began))
			}
		}
		r.letThrough()
		if err := <-held; err != nil {
			t.Error(err)
		}
		r.stop()
		close(r.enter)
	})
}
