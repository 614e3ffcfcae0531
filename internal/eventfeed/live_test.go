package eventfeed_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/eventfeed"
)

// gatedLog blocks chosen reads after they have read, so that a test decides what happens during a read.
type gatedLog struct {
	*fakeLog
	mu    sync.Mutex
	gates map[esh3ar.BusinessID]chan struct{} // by the only business of the read
}

func (l *gatedLog) Events(ctx context.Context, q esh3ar.EventQuery) (esh3ar.EventPage, error) {
	page, err := l.fakeLog.Events(ctx, q)
	l.mu.Lock()
	gate := l.gates[q.Businesses[0]]
	l.mu.Unlock()
	if gate != nil && len(q.Businesses) == 1 {
		<-gate
	}
	return page, err
}

// hold blocks the reads of one business until release is called.
func (l *gatedLog) hold(business esh3ar.BusinessID) (release func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	gate := make(chan struct{})
	l.gates[business] = gate
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.gates, business)
		close(gate)
	}
}

// reader reads a stream on a goroutine of its own.
type reader struct {
	t   *testing.T
	mu  sync.Mutex
	got []uint32
}

// read opens a stream at the end of the log and reads it until the test ends.
func read(t *testing.T, f *eventfeed.Feed, business esh3ar.BusinessID) *reader {
	t.Helper()
	s, err := f.Tail(t.Context(), business)
	if err != nil {
		t.Fatal(err)
	}
	r, done := &reader{t: t}, make(chan struct{})
	go func() {
		defer close(done)
		for {
			b, err := s.Next(context.Background())
			if err != nil {
				return
			}
			r.mu.Lock()
			for _, e := range b.Entries {
				r.got = append(r.got, e.Event.Version)
			}
			r.mu.Unlock()
		}
	}()
	t.Cleanup(func() { s.Close(); <-done })
	synctest.Wait()
	return r
}

func (r *reader) want(who string, want ...uint32) {
	r.t.Helper()
	time.Sleep(10 * time.Second) // by the bubble's clock: longer than the backoff of a stream, far less than the feed's poll interval
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.got, want) {
		r.t.Errorf("%s: got events %v, want %v", who, r.got, want)
	}
}

// TestStream_GoesLiveDuringReads_MissesNothing decides the order of a feed's read, a stream's own read and a commit. A live
// stream of another business makes the feed read.
func TestStream_GoesLiveDuringReads_MissesNothing(t *testing.T) {
	t.Parallel()
	live, late := esh3ar.NewBusinessID(), esh3ar.NewBusinessID()
	for name, test := range map[string]func(t *testing.T, log *gatedLog, f *eventfeed.Feed){
		"live before the feed's read ends, which left its business out": func(t *testing.T, log *gatedLog, f *eventfeed.Feed) {
			other := read(t, f, live)
			releaseStream := log.hold(late)
			r := read(t, f, late) // its first read found nothing
			releaseFeed := log.hold(live)
			log.add(late)
			f.Wake()
			synctest.Wait() // the feed has read past the event
			releaseStream()
			synctest.Wait() // the stream is live
			releaseFeed()
			synctest.Wait()
			log.add(late)
			f.Wake()
			r.want("late", 1, 2)
			other.want("live")
		},
		"live after the feed's read has ended, which left its business out": func(t *testing.T, log *gatedLog, f *eventfeed.Feed) {
			other := read(t, f, live)
			release := log.hold(late)
			r := read(t, f, late)
			log.add(late)
			f.Wake()
			synctest.Wait() // the feed has distributed what it found for the other business
			release()
			synctest.Wait()
			log.add(late)
			f.Wake()
			r.want("late", 1, 2)
			other.want("live")
		},
		"a commit between the stream's read and its going live": func(t *testing.T, log *gatedLog, f *eventfeed.Feed) {
			release := log.hold(late)
			r := read(t, f, late)
			log.add(late)
			f.Wake()
			synctest.Wait() // the feed has no live stream
			release()
			r.want("late", 1)
		},
		"live at the tail while another has not got what lies before": func(t *testing.T, log *gatedLog, f *eventfeed.Feed) {
			other := read(t, f, live)
			log.add(live) // Wake was not called
			r := read(t, f, late)
			log.add(late)
			f.Wake()
			r.want("late", 2)
			other.want("live", 1)
		},
		"live at the tail during a read of what lies before": func(t *testing.T, log *gatedLog, f *eventfeed.Feed) {
			other := read(t, f, live)
			log.add(live)
			release := log.hold(live)
			f.Wake()
			synctest.Wait()
			r := read(t, f, late)
			log.add(late)
			f.Wake()
			synctest.Wait()
			release()
			r.want("late", 2)
			other.want("live", 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := &gatedLog{fakeLog: &fakeLog{walk: 100}, gates: map[esh3ar.BusinessID]chan struct{}{}}
				f := eventfeed.New(log, eventfeed.Options{Poll: time.Hour})
				ctx, cancel := context.WithCancel(context.Background())
				done := make(chan error, 1)
				go func() { done <- f.Run(ctx) }()
				t.Cleanup(func() { cancel(); <-done })
				test(t, log, f)
			})
		})
	}
}

// TestStream_QueueFull_ReadsTheLogAgain leaves a live stream unread until its queue is full. The stream must return the events that did
// not fit too.
func TestStream_QueueFull_ReadsTheLogAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, business := &fakeLog{walk: 100}, esh3ar.NewBusinessID()
		f := run(t, log, eventfeed.Options{QueueSize: 2, PageSize: 100, Poll: time.Hour})
		s, err := f.Tail(t.Context(), business)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		_, err = s.Next(ctx) // reads to the end of the log, which makes the stream live
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("next of an empty log: got %v, want the deadline", err)
		}
		const events = 5
		for range events {
			log.add(business)
			f.Wake()
			synctest.Wait()
		}
		got, _ := takeAll(t, s, events, func() {})
		if want := []uint32{1, 2, 3, 4, 5}; !slices.Equal(got, want) {
			t.Errorf("got events %v, want %v", got, want)
		}
	})
}
