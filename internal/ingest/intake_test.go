package ingest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ingest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gatedStore is a store whose commits wait for the test: each sends its calls to began and returns the error it receives from result.
type gatedStore struct {
	began  chan []*esh3ar.Call
	result chan error
	mu     sync.Mutex
	stored []string // contents in commit order
}

func newGatedStore() *gatedStore {
	return &gatedStore{began: make(chan []*esh3ar.Call), result: make(chan error)}
}

func (g *gatedStore) Append(_ context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	g.began <- calls
	if err := <-g.result; err != nil {
		return nil, err
	}
	answers := make([]esh3ar.Answer, len(calls))
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, call := range calls {
		for _, m := range call.Messages {
			g.stored = append(g.stored, m.Content)
			answers[i].Receipts = append(answers[i].Receipts, esh3ar.Receipt{ID: m.ID})
		}
	}
	return answers, nil
}

// recorder is a publisher that records the contents of the messages.
type recorder struct {
	mu       sync.Mutex
	contents []string
}

func (p *recorder) Publish(stored []*esh3ar.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range stored {
		p.contents = append(p.contents, m.Content)
	}
}

func call(business esh3ar.BusinessID, p esh3ar.Priority, contents ...string) *esh3ar.Call {
	c := &esh3ar.Call{Business: business}
	for _, content := range contents {
		c.Messages = append(c.Messages, &esh3ar.Message{ID: esh3ar.NewMessageID(), Business: business, Priority: p, Content: content})
	}
	return c
}

// fixture runs an intake with a gatedStore inside a synctest bubble.
type fixture struct {
	*gatedStore
	in   *ingest.Intake
	pub  *recorder
	stop func()
}

func newFixture(t *testing.T, opts ingest.Options) *fixture {
	t.Helper()
	r := &fixture{gatedStore: newGatedStore(), pub: &recorder{}}
	r.in = ingest.New(r.gatedStore, r.pub, opts)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.in.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	return r
}

// submit submits a call in a goroutine and returns a channel for its error.
func (r *fixture) submit(ctx context.Context, c *esh3ar.Call) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := r.in.Submit(ctx, c)
		done <- err
	}()
	return done
}

func TestIntake_CommitRunning_AnswersNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, ingest.Options{})
		done := r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "a"))
		<-r.began
		synctest.Wait()
		select {
		case <-done:
			t.Error("answered while the commit was running")
		default:
		}
		if len(r.pub.contents) > 0 {
			t.Error("published while the commit was running")
		}
		r.result <- nil
		if err := <-done; err != nil || !slices.Equal(r.pub.contents, []string{"a"}) {
			t.Errorf("got %v, published %v, want [a]", err, r.pub.contents)
		}
		r.stop()
	})
}

func TestIntake_CommitRunning_CollectsNextBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, ingest.Options{})
		b := esh3ar.NewBusinessID()
		first := r.submit(t.Context(), call(b, esh3ar.Normal, "first"))
		<-r.began
		var rest []<-chan error
		for range 50 {
			rest = append(rest, r.submit(t.Context(), call(b, esh3ar.Normal, "more")))
		}
		synctest.Wait()
		r.result <- nil
		if got := len(<-r.began); got != 50 {
			t.Errorf("second commit: got %d calls, want 50", got)
		}
		r.result <- nil
		for _, done := range append(rest, first) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		r.stop()
	})
}

func TestIntake_CallersGone_CommitsOnlyTakenCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, ingest.Options{})
		b := esh3ar.NewBusinessID()
		takenCtx, cancelTaken := context.WithCancel(t.Context())
		takenDone := r.submit(takenCtx, call(b, esh3ar.Normal, "taken"))
		<-r.began
		waitingCtx, cancelWaiting := context.WithCancel(t.Context())
		waitingDone := r.submit(waitingCtx, call(b, esh3ar.Normal, "abandoned"))
		stays := r.submit(t.Context(), call(b, esh3ar.Normal, "stays"))
		synctest.Wait()
		cancelTaken()
		cancelWaiting()
		if err := <-waitingDone; esh3ar.CodeOf(err) != esh3ar.Abandoned {
			t.Errorf("waiting call: got %v, want abandoned", err)
		}
		r.result <- nil
		if err := <-takenDone; err != nil {
			t.Errorf("taken call: %v", err)
		}
		<-r.began
		r.result <- nil
		if err := <-stays; err != nil || !slices.Equal(r.stored, []string{"taken", "stays"}) {
			t.Errorf("got %v, stored %v, want taken and stays", err, r.stored)
		}
		r.stop()
	})
}

func TestLane_Full_RefusesAfterTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, ingest.Options{LaneMessages: 4, LaneTimeout: 3 * time.Second})
		running := r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "running"))
		<-r.began
		var held []<-chan error
		for range 4 {
			held = append(held, r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "held")))
		}
		synctest.Wait()
		start := time.Now()
		late := r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "late"))
		err := <-late
		var e *esh3ar.Error
		if !errors.As(err, &e) || e.Code != esh3ar.Overloaded || e.RetryAfter < time.Second || time.Since(start) != 3*time.Second {
			t.Errorf("got %v after %s, want overloaded with Retry-After after 3s", err, time.Since(start))
		}
		urgent := r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Urgent, "urgent")) // another lane has room
		r.result <- nil
		for _, done := range append(held, urgent) {
			select {
			case <-r.began:
				r.result <- nil
			default:
			}
			_ = done
		}
		go func() {
			for range r.began {
				r.result <- nil
			}
		}()
		for _, done := range append(held, urgent, running) {
			if err := <-done; err != nil && esh3ar.CodeOf(err) != esh3ar.Overloaded {
				t.Error(err)
			}
		}
		if slices.Contains(r.stored, "late") {
			t.Error("a refused call was stored")
		}
		r.stop()
		close(r.began)
	})
}

func TestLane_OneBusiness_FillsAtMostAQuarter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, ingest.Options{LaneMessages: 16, LaneTimeout: time.Second})
		greedy := esh3ar.NewBusinessID()
		running := r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "running"))
		<-r.began
		var dones []<-chan error
		for range 6 {
			dones = append(dones, r.submit(t.Context(), call(greedy, esh3ar.Normal, "greedy")))
		}
		synctest.Wait()
		if got := r.in.Lanes()[esh3ar.Normal].Messages; got != 4 {
			t.Errorf("one business: got %d messages in a lane of 16, want 4", got)
		}
		other := r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "other"))
		synctest.Wait()
		if got := r.in.Lanes()[esh3ar.Normal].Messages; got != 5 {
			t.Errorf("with another business: got %d messages in the lane, want 5", got)
		}
		go func() {
			r.result <- nil
			for range r.began {
				r.result <- nil
			}
		}()
		for _, done := range append(dones, running, other) {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		r.stop()
		close(r.began)
	})
}

func TestBatch_UrgentFlood_LeavesShareToLowerLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, ingest.Options{BatchMessages: 10})
		var dones []<-chan error
		dones = append(dones, r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "running")))
		<-r.began
		for range 5 {
			dones = append(dones, r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Low, "low")))
		}
		synctest.Wait()
		for range 20 {
			dones = append(dones, r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Urgent, "urgent")))
		}
		synctest.Wait()
		r.result <- nil
		var got []string
		for _, c := range <-r.began {
			got = append(got, c.Messages[0].Content)
		}
		if strings.Join(got, " ") != strings.Repeat("urgent ", 8)+"low low" {
			t.Errorf("got batch %v, want 8 urgent and 2 low calls", got)
		}
		go func() {
			r.result <- nil
			for range r.began {
				r.result <- nil
			}
		}()
		for _, done := range dones {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		r.stop()
		close(r.began)
	})
}

func TestIntake_Stop_CommitsAdmittedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, ingest.Options{})
		first := r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "first"))
		<-r.began
		second := r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "second"))
		synctest.Wait()
		stopped := make(chan struct{})
		go func() { r.stop(); close(stopped) }()
		synctest.Wait()
		r.result <- nil
		<-r.began
		if _, err := r.in.Submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "late")); esh3ar.CodeOf(err) != esh3ar.Overloaded {
			t.Errorf("call during the stop: got %v, want overloaded", err)
		}
		r.result <- nil
		for _, done := range []<-chan error{first, second} {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		<-stopped
		if !slices.Equal(r.stored, []string{"first", "second"}) {
			t.Errorf("got stored %v, want first and second", r.stored)
		}
	})
}

func TestIntake_InvalidCallInBatch_StoresTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, ingest.Options{})
		running := r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "running"))
		<-r.began
		dones := map[string]<-chan error{}
		for _, content := range []string{"a", "b", "bad", "c"} {
			dones[content] = r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, content))
			synctest.Wait()
		}
		go func() {
			r.result <- nil
			for calls := range r.began {
				bad := slices.ContainsFunc(calls, func(c *esh3ar.Call) bool { return c.Messages[0].Content == "bad" })
				if bad {
					r.result <- esh3ar.Errorf(esh3ar.Invalid, "cannot be stored")
				} else {
					r.result <- nil
				}
			}
		}()
		if err := <-running; err != nil {
			t.Error(err)
		}
		for content, done := range dones {
			if err := <-done; (err != nil) != (content == "bad") {
				t.Errorf("%s: got %v, want an error for the bad call only", content, err)
			}
		}
		r.stop()
		close(r.began)
	})
}

func TestIntake_StoreError_ReachesCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, ingest.Options{})
		done := r.submit(t.Context(), call(esh3ar.NewBusinessID(), esh3ar.Normal, "a"))
		<-r.began
		r.result <- &esh3ar.Error{Code: esh3ar.StorageFull, Text: "full"}
		if err := <-done; esh3ar.CodeOf(err) != esh3ar.StorageFull {
			t.Errorf("got %v, want storage_full", err)
		}
		if len(r.pub.contents) > 0 {
			t.Errorf("got published %v, want nothing", r.pub.contents)
		}
		r.stop()
	})
}

// replayingStore is a store that answers every call with a key as Replayed.
type replayingStore struct{}

func (replayingStore) Append(_ context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	answers := make([]esh3ar.Answer, len(calls))
	for i, c := range calls {
		if c.Key != nil {
			answers[i].Outcome = esh3ar.Replayed
		}
	}
	return answers, nil
}

func TestIntake_ReplayedCall_IsNotPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pub := &recorder{}
		in := ingest.New(replayingStore{}, pub, ingest.Options{})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- in.Run(ctx) }()
		again, fresh := call(esh3ar.NewBusinessID(), esh3ar.Normal, "again"), call(esh3ar.NewBusinessID(), esh3ar.Normal, "new")
		again.Key = &esh3ar.IdempotencyKey{Key: "k"}
		for _, c := range []*esh3ar.Call{again, fresh} {
			if _, err := in.Submit(t.Context(), c); err != nil {
				t.Error(err)
			}
		}
		stop()
		if err := <-ended; err != nil || !slices.Equal(pub.contents, []string{"new"}) {
			t.Errorf("got %v, published %v, want [new]", err, pub.contents)
		}
	})
}
