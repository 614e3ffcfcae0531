package eventfeed_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/eventfeed"
)

// countingLog counts the concurrent reads of a log, and delays each of them.
type countingLog struct {
	*fakeLog
	mu    sync.Mutex
	now   int
	most  int
	reads map[esh3ar.BusinessID]int
}

func (l *countingLog) Events(ctx context.Context, q esh3ar.EventQuery) (esh3ar.EventPage, error) {
	l.mu.Lock()
	l.now++
	l.most = max(l.most, l.now)
	if q.Limit > 1 {
		l.reads[q.Businesses[0]]++
	}
	l.mu.Unlock()
	time.Sleep(time.Millisecond)
	l.mu.Lock()
	l.now--
	l.mu.Unlock()
	return l.fakeLog.Events(ctx, q)
}

// openAt opens streams at the beginning of the log, and reads until each has reached a version.
func openAt(t *testing.T, f *eventfeed.Feed, business esh3ar.BusinessID, streams int, last uint32, group *sync.WaitGroup) {
	t.Helper()
	for range streams {
		s, err := f.After(t.Context(), business, "")
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			defer s.Close()
			got, _ := takeAll(t, s, last, func() {})
			for i, version := range got {
				if version != uint32(i)+1 {
					t.Errorf("event %d of a stream is version %d", i, version)
					return
				}
			}
		})
	}
}

func TestCatchUp_ManyStreamsOfOneBusiness_ShareReadsAndFewRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &countingLog{fakeLog: &fakeLog{walk: 1000}, reads: map[esh3ar.BusinessID]int{}}
		business := esh3ar.NewBusinessID()
		const events, page, streams = 500, 10, 50
		for range events {
			log.add(business)
		}
		f := eventfeed.New(log, eventfeed.Options{PageSize: page, Poll: time.Hour, PerBusiness: streams})
		var group sync.WaitGroup
		log.most = 0
		start := time.Now() // by the bubble's clock
		openAt(t, f, business, streams, events, &group)
		group.Wait()
		if took, least := time.Since(start), streams*events*40*time.Microsecond/2; took < least {
			t.Errorf("%d streams took %d events each in %v; want at least %v: 40 µs of one of two places for each", streams, events, took, least)
		}
		if log.most > 2 {
			t.Errorf("%d reads ran at once; want at most 2", log.most)
		}
		if pages := events / page; log.reads[business] > 4*pages {
			t.Errorf("%d streams read %d pages %d times; want about once each", streams, pages, log.reads[business])
		}
	})
}

func TestCatchUp_ManyStreamsOfOneBusiness_AnotherComesThrough(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &countingLog{fakeLog: &fakeLog{walk: 1000}, reads: map[esh3ar.BusinessID]int{}}
		greedy, other := esh3ar.NewBusinessID(), esh3ar.NewBusinessID()
		for range 2000 {
			log.add(greedy)
		}
		log.add(other)
		f := eventfeed.New(log, eventfeed.Options{PageSize: 10, Poll: time.Hour})
		var group sync.WaitGroup
		openAt(t, f, greedy, 90, 2000, &group)
		time.Sleep(20 * time.Millisecond) // by the bubble's clock: all reads are in progress
		s, err := f.After(t.Context(), other, position(1990))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		before := log.reads[greedy]
		if got, _ := takeAll(t, s, 2001, func() {}); len(got) != 1 {
			t.Errorf("got %v, want its one event", got)
		}
		log.mu.Lock()
		meanwhile := log.reads[greedy] - before
		log.mu.Unlock()
		if meanwhile > 20 {
			t.Errorf("the other business waited for %d reads of the greedy one; want a turn of its own", meanwhile)
		}
		group.Wait()
	})
}
