package eventfeed_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/eventfeed"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeLog is a log in memory. Positions are numbers of four digits.
type fakeLog struct {
	mu      sync.Mutex
	entries []esh3ar.LogEntry
	trimmed int // number of deleted events
	fails   error
	reads   int
	walk    int           // rows per read
	held    chan struct{} // not nil: reads block on it after they have read
}

func position(n int) esh3ar.Position {
	if n == 0 {
		return ""
	}
	return esh3ar.Position(fmt.Sprintf("%04d", n))
}

func (l *fakeLog) add(business esh3ar.BusinessID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.entries) + 1
	l.entries = append(l.entries, esh3ar.LogEntry{Position: position(n), Event: esh3ar.Event{Business: business, Version: uint32(n)}})
}

func (l *fakeLog) Tail(context.Context) (esh3ar.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return position(len(l.entries)), nil
}

func (l *fakeLog) Events(_ context.Context, q esh3ar.EventQuery) (esh3ar.EventPage, error) {
	var page esh3ar.EventPage
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	if l.fails != nil {
		return page, l.fails
	}
	after := 0
	if q.After != "" {
		if _, err := fmt.Sscanf(string(q.After), "%d", &after); err != nil {
			return page, esh3ar.Errorf(esh3ar.Invalid, "position %q", q.After)
		}
	}
	page.Next, page.Trimmed = q.After, after < l.trimmed
	if page.Trimmed {
		after, page.Next = l.trimmed, position(l.trimmed)
	}
	for i := after; i < len(l.entries) && len(page.Entries) < q.Limit && i < after+l.walk; i++ {
		page.Next = l.entries[i].Position
		if slices.Contains(q.Businesses, l.entries[i].Event.Business) {
			page.Entries = append(page.Entries, l.entries[i])
		}
	}
	if held := l.held; held != nil {
		l.mu.Unlock()
		<-held
		l.mu.Lock()
	}
	return page, nil
}

// run runs a feed until the test ends.
func run(t *testing.T, log *fakeLog, o eventfeed.Options) *eventfeed.Feed {
	t.Helper()
	f := eventfeed.New(log, o)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return f
}

// takeAll reads until the stream has reached a version.
func takeAll(t *testing.T, s *eventfeed.Stream, last uint32, pace func()) (got []uint32, resets int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for len(got) == 0 || got[len(got)-1] < last {
		b, err := s.Next(ctx)
		if err != nil {
			t.Errorf("after %d events: %v", len(got), err)
			return got, resets
		}
		if b.Reset {
			resets++
		}
		for _, e := range b.Entries {
			got = append(got, e.Event.Version)
		}
		pace()
	}
	return got, resets
}

// TestFeed_RandomStreams_SeeEveryEventOnce opens and closes streams of several businesses, fast and slow, with tiny queues, while
// events are added. Each stream must return its business's events from its start position, each once, in order.
func TestFeed_RandomStreams_SeeEveryEventOnce(t *testing.T) {
	t.Parallel()
	seeds := uint64(40)
	if testing.Short() {
		seeds = 8
	}
	for seed := range seeds {
		missNothing(t, seed)
	}
}

func missNothing(t *testing.T, seed uint64) {
	const events = 600
	random := rand.New(rand.NewPCG(seed, 1))
	businesses := []esh3ar.BusinessID{esh3ar.NewBusinessID(), esh3ar.NewBusinessID(), esh3ar.NewBusinessID()}
	order := make([]int, events)
	for i := range order {
		order[i] = random.IntN(len(businesses))
	}
	copy(order[events-3:], []int{0, 1, 2}) // each business has one of the last events
	log := &fakeLog{walk: 1 + random.IntN(30)}
	f := run(t, log, eventfeed.Options{QueueSize: 2, PageSize: 1 + random.IntN(9), Poll: time.Millisecond})
	var group sync.WaitGroup
	for i := range 12 {
		who, choice := i%3, rand.New(rand.NewPCG(seed, uint64(100+i)))
		group.Go(func() {
			for at := 0; ; {
				time.Sleep(time.Duration(choice.IntN(2000)) * time.Microsecond)
				s, err := f.After(t.Context(), businesses[who], position(at))
				if err != nil {
					t.Errorf("seed %d: %v", seed, err)
					return
				}
				last := min(at+1+choice.IntN(events), events-3+who+1)
				for order[last-1] != who {
					last++
				}
				slow := choice.IntN(3) == 0
				got, _ := takeAll(t, s, uint32(last), func() {
					if slow {
						time.Sleep(time.Duration(choice.IntN(500)) * time.Microsecond)
					}
				})
				s.Close()
				var want []uint32
				for n := at; n < int(got[len(got)-1]); n++ {
					if order[n] == who {
						want = append(want, uint32(n+1))
					}
				}
				if !slices.Equal(got, want) {
					t.Errorf("seed %d, stream %d from %d: got %v, want %v", seed, i, at, got, want)
					return
				}
				at = int(got[len(got)-1])
				if at == events-3+who+1 {
					return
				}
			}
		})
	}
	for i := range order {
		log.add(businesses[order[i]])
		if i%3 == 0 {
			f.Wake()
		}
		if random.IntN(10) == 0 {
			time.Sleep(time.Duration(random.IntN(300)) * time.Microsecond)
		}
	}
	group.Wait()
}

func TestFeed_Tail_StartsAtTheEnd(t *testing.T) {
	t.Parallel()
	log, business := &fakeLog{walk: 100}, esh3ar.NewBusinessID()
	f := run(t, log, eventfeed.Options{Poll: time.Hour})
	log.add(business)
	f.Wake()
	if log.reads != 0 {
		t.Error("the log is read for nobody")
	}
	s, err := f.Tail(t.Context(), business)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	log.add(business)
	f.Wake()
	if got, _ := takeAll(t, s, 2, func() {}); !slices.Equal(got, []uint32{2}) {
		t.Errorf("got %v", got)
	}
	if s.Position() != position(2) {
		t.Errorf("position %s", s.Position())
	}
	log.add(business)
	f.Wake() // the only signal: the feed does not poll during the test
	if got, _ := takeAll(t, s, 3, func() {}); !slices.Equal(got, []uint32{3}) {
		t.Errorf("got %v", got)
	}
}

func TestStream_TrimmedLog_ReportsReset(t *testing.T) {
	t.Parallel()
	log, business := &fakeLog{walk: 100}, esh3ar.NewBusinessID()
	f := run(t, log, eventfeed.Options{})
	for range 10 {
		log.add(business)
	}
	log.trimmed = 6
	for from, resets := range map[int]int{2: 1, 6: 0, 8: 0} {
		s, err := f.After(t.Context(), business, position(from))
		if err != nil {
			t.Fatal(err)
		}
		got, n := takeAll(t, s, 10, func() {})
		if n != resets || got[0] != uint32(max(from, 6)+1) {
			t.Errorf("from %d: %d resets, got %v", from, n, got)
		}
		s.Close()
	}
	if _, err := f.After(t.Context(), business, "nonsense"); err == nil || esh3ar.CodeOf(err) != esh3ar.Invalid {
		t.Errorf("a bad position: %v", err)
	}
}

// TestFeed_AfterFuturePosition_IsRefused: the position is refused and does not affect other streams: a quiet stream reads the log a
// few times, then waits.
func TestFeed_AfterFuturePosition_IsRefused(t *testing.T) {
	t.Parallel()
	log, business := &fakeLog{walk: 100}, esh3ar.NewBusinessID()
	f := run(t, log, eventfeed.Options{Poll: time.Hour})
	log.add(business)
	ahead, err := f.After(t.Context(), esh3ar.NewBusinessID(), position(9000))
	if esh3ar.CodeOf(err) != esh3ar.Invalid {
		t.Errorf("got %v, want a refusal", err)
	}
	if err == nil {
		_, _ = ahead.NextWithin(t.Context(), 10*time.Millisecond)
		ahead.Close()
	}
	s, err := f.Tail(t.Context(), business)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.NextWithin(t.Context(), 10*time.Millisecond)
	log.mu.Lock()
	defer log.mu.Unlock()
	if err != nil || log.reads > 10 {
		t.Errorf("the log was read %d times for nothing: %v", log.reads, err)
	}
}

// TestStream_LogGoesBack_MissesNothingNew restores the log to an older copy: streams after the new end read it with backoff, and
// miss no later event.
func TestStream_LogGoesBack_MissesNothingNew(t *testing.T) {
	t.Parallel()
	log, business := &fakeLog{walk: 100}, esh3ar.NewBusinessID()
	f := run(t, log, eventfeed.Options{Poll: time.Hour})
	for range 5 {
		log.add(business)
	}
	before, err := f.After(t.Context(), business, "")
	if err != nil {
		t.Fatal(err)
	}
	takeAll(t, before, 5, func() {})
	_, _ = before.NextWithin(t.Context(), 10*time.Millisecond) // it is live at the end of the log
	before.Close()
	log.mu.Lock()
	log.entries, log.reads = log.entries[:1], 0
	log.mu.Unlock()
	s, err := f.Tail(t.Context(), business)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, err = s.NextWithin(t.Context(), 20*time.Millisecond)
	log.mu.Lock()
	reads := log.reads
	log.mu.Unlock()
	if err != nil || reads > 10 {
		t.Errorf("the log was read %d times for nothing: %v", reads, err)
	}
	log.add(business)
	if got, _ := takeAll(t, s, 2, func() {}); !slices.Equal(got, []uint32{2}) {
		t.Errorf("got %v", got)
	}
}

func TestStream_LogUnavailable_Retries(t *testing.T) {
	t.Parallel()
	log, business := &fakeLog{walk: 100}, esh3ar.NewBusinessID()
	f := run(t, log, eventfeed.Options{Poll: time.Millisecond})
	s, err := f.Tail(t.Context(), business)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	log.mu.Lock()
	log.fails = esh3ar.Errorf(esh3ar.StoreUnavailable, "away")
	log.mu.Unlock()
	log.add(business)
	got := make(chan []uint32)
	go func() {
		versions, _ := takeAll(t, s, 1, func() {})
		got <- versions
	}()
	for f.Stats().Failed == 0 { // it has been told
		time.Sleep(time.Millisecond)
	}
	log.mu.Lock()
	log.fails = nil
	log.mu.Unlock()
	if versions := <-got; !slices.Equal(versions, []uint32{1}) {
		t.Errorf("got %v", versions)
	}
}

func TestStream_CloseOrCancel_EndsNext(t *testing.T) {
	t.Parallel()
	log, business := &fakeLog{walk: 100}, esh3ar.NewBusinessID()
	f := run(t, log, eventfeed.Options{PerBusiness: 2, Total: 3})
	ctx, cancel := context.WithCancel(t.Context())
	var streams []*eventfeed.Stream
	for i, want := range []esh3ar.Code{esh3ar.Codes, esh3ar.Codes, esh3ar.RateLimited} {
		s, err := f.Tail(ctx, business)
		if want == esh3ar.Codes && err == nil {
			streams = append(streams, s)
		} else if err == nil || esh3ar.CodeOf(err) != want {
			t.Errorf("stream %d: %v", i, err)
		}
	}
	for i, want := range []esh3ar.Code{esh3ar.Codes, esh3ar.Overloaded} {
		s, err := f.Tail(ctx, esh3ar.NewBusinessID())
		if want == esh3ar.Codes && err == nil {
			streams = append(streams, s)
		} else if err == nil || esh3ar.CodeOf(err) != want {
			t.Errorf("another business's stream %d: %v", i, err)
		}
	}
	closed := make(chan error)
	go func() {
		_, err := streams[0].Next(ctx)
		closed <- err
	}()
	streams[0].Close()
	streams[0].Close()
	if err := <-closed; !errors.Is(err, eventfeed.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	cancel()
	if _, err := streams[1].Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	streams[1].Close()
	streams[2].Close()
	if n := f.Stats().Streams; n != 0 {
		t.Errorf("%d streams are left", n)
	}
}
