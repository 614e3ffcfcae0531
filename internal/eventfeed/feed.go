package eventfeed

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/fairshare"
)

// Options tune a Feed; the zero value of a field means its default.
type Options struct {
	QueueSize   int           // events that wait in a live stream; when it is full the stream reads the log itself; default 512
	PageSize    int           // events of one read; default 500
	Poll        time.Duration // between looks at the log when nobody wakes the feed; default 1 s
	PerBusiness int           // streams; more are refused as RateLimited; default 100
	Total       int           // streams; more are refused as Overloaded; default 10,000
	CatchUps    int           // reads for streams that are behind that run at once; default 2
	Pace        time.Duration // time that one event of such a read takes of its place among them; default 40 µs
}

// Feed is the one reader for all live streams.
type Feed struct {
	catchUp *catchUp
	log     esh3ar.EventLog
	opts    Options
	wake    chan struct{} // capacity 1: a signal, not a count
	open    atomic.Int64  // streams: without any a wake costs one load
	stats   stats
	mu      struct {
		sync.Mutex
		streams map[esh3ar.BusinessID][]*Stream // live and behind
		live    int
		cursor  esh3ar.Position // everything up to it was handed out
		round   uint64          // counts reads
	}
}

// Stats are counts since the start; Streams is how many are open.
type Stats struct {
	Streams    int64
	Events     uint64 // taken by streams
	FellBehind uint64 // times that a live stream fell behind
	Failed     uint64 // reads
}

type stats struct{ events, fell, failed atomic.Uint64 }

// New makes a feed; Run makes it work.
func New(log esh3ar.EventLog, o Options) *Feed {
	for _, d := range []struct {
		value  *int
		normal int
	}{{&o.QueueSize, 512}, {&o.PageSize, 500}, {&o.PerBusiness, 100}, {&o.Total, 10_000}, {&o.CatchUps, 2}} {
		if *d.value == 0 {
			*d.value = d.normal
		}
	}
	if o.Poll == 0 {
		o.Poll = time.Second
	}
	if o.Pace == 0 {
		o.Pace = 40 * time.Microsecond
	}
	f := &Feed{catchUp: newCatchUp(&o), log: log, opts: o, wake: make(chan struct{}, 1)}
	f.mu.streams = map[esh3ar.BusinessID][]*Stream{}
	return f
}

// Stats reads the counts.
func (f *Feed) Stats() Stats {
	return Stats{Streams: f.open.Load(), Events: f.stats.events.Load(), FellBehind: f.stats.fell.Load(), Failed: f.stats.failed.Load()}
}

// Shares returns the state of the reads for streams that are behind.
func (f *Feed) Shares() []fairshare.Stats { return []fairshare.Stats{f.catchUp.places.Stats()} }

// Wake says that something was committed. It is made to be called after every commit.
func (f *Feed) Wake() {
	if f.open.Load() == 0 {
		return
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Run reads for the live streams until ctx ends, and returns nil.
func (f *Feed) Run(ctx context.Context) error {
	ticker := time.NewTicker(f.opts.Poll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.wake:
		case <-ticker.C:
		}
		for f.read(ctx) {
		}
	}
}

// read is one round; more says that there may be another. What cannot be read now is read after the next wake or tick.
func (f *Feed) read(ctx context.Context) (more bool) {
	after, businesses := f.begin()
	if len(businesses) == 0 {
		return false
	}
	page, err := f.log.Events(ctx, esh3ar.EventQuery{After: after, Businesses: businesses, Limit: f.opts.PageSize})
	if err != nil {
		f.stats.failed.Add(1)
		return false
	}
	f.distribute(&page)
	return page.Next != after
}

// begin starts a round: who takes part in it?
func (f *Feed) begin() (after esh3ar.Position, businesses []esh3ar.BusinessID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.round++
	for business, streams := range f.mu.streams {
		if slices.ContainsFunc(streams, func(s *Stream) bool { return s.shared.live }) {
			businesses = append(businesses, business)
		}
	}
	return f.mu.cursor, businesses
}

// distribute ends a round.
func (f *Feed) distribute(page *esh3ar.EventPage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, streams := range f.mu.streams {
		for _, s := range streams {
			if s.shared.live && (s.shared.since == f.mu.round || page.Trimmed) {
				s.fallBehindLocked() // the read may have left its business out; or it has to say itself that events are gone
			}
		}
	}
	for i := range page.Entries {
		for _, s := range f.mu.streams[page.Entries[i].Event.Business] {
			s.offerLocked(page.Entries[i])
		}
	}
	f.mu.cursor = page.Next
}
