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

// Options configure a Feed; the zero value of a field selects its default.
type Options struct {
	QueueSize   int           // events queued for a live stream; when the queue is full the stream falls back to reading the log; default 512
	PageSize    int           // events per read; default 500
	Poll        time.Duration // time between two reads when Wake is not called; default 1 s
	PerBusiness int           // open streams per business; beyond it RateLimited; default 100
	Total       int           // open streams; beyond it Overloaded; default 10,000
	CatchUps    int           // concurrent reads for streams that are behind; default 2
	Pace        time.Duration // time that such a read holds its slot per event; default 40 µs
}

// Feed is the single reader of the log for all live streams.
type Feed struct {
	catchUp *catchUp
	log     esh3ar.EventLog
	opts    Options
	wake    chan struct{} // capacity 1: a signal, not a count
	open    atomic.Int64  // open streams; with none, Wake costs one atomic load
	stats   stats
	mu      struct {
		sync.Mutex
		streams map[esh3ar.BusinessID][]*Stream // all open streams, live or behind
		live    int
		cursor  esh3ar.Position // every event up to it was distributed
		round   uint64          // number of rounds so far
	}
}

// Stats holds counters since the start; Streams is the current number of open streams.
type Stats struct {
	Streams    int64
	Events     uint64 // events that streams have returned
	FellBehind uint64 // times that a live stream fell behind
	Failed     uint64 // failed reads
}

type stats struct{ events, fell, failed atomic.Uint64 }

// New returns a Feed. Live streams receive events while Run runs.
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

// Stats returns the counters.
func (f *Feed) Stats() Stats {
	return Stats{Streams: f.open.Load(), Events: f.stats.events.Load(), FellBehind: f.stats.fell.Load(), Failed: f.stats.failed.Load()}
}

// Shares returns the state of the slots for streams that are behind.
func (f *Feed) Shares() []fairshare.Stats { return []fairshare.Stats{f.catchUp.places.Stats()} }

// Wake tells the feed that something was committed. It is cheap enough to be called after every commit.
func (f *Feed) Wake() {
	if f.open.Load() == 0 {
		return
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Run reads the log for the live streams until ctx ends, and returns nil.
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

// read performs one round and reports whether another one may find more. After an error the log is read again at the next wake or
// tick.
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

// begin starts a round. It returns its position and the businesses that have live streams.
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

// distribute ends a round: it queues the events of the page to the live streams.
func (f *Feed) distribute(page *esh3ar.EventPage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, streams := range f.mu.streams {
		for _, s := range streams {
			if s.shared.live && (s.shared.since == f.mu.round || page.Trimmed) {
				s.fallBehindLocked() // the read may have left out its business, or the stream must report a gap
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
