package eventfeed

import (
	"context"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/fairshare"
)

// Streams that are behind read the log themselves, and a client may open many of them at an old position. Their reads must not take
// the disk, the database and the processors away from accepting messages. So only a few of these reads run at once, businesses take
// turns, each read holds its slot for a time that grows with the amount read, and streams of a business at the same position share
// one read.

// catchUp limits and shares the reads of streams that are behind.
type catchUp struct {
	places *fairshare.Pool[esh3ar.BusinessID]
	pace   time.Duration
	mu     struct {
		sync.Mutex // in order of insertion, oldest first
		pages      map[pageKey]*sharedPage
		order      []pageKey // of the pages, oldest first
	}
}

// pageKey identifies a read.
type pageKey struct {
	business esh3ar.BusinessID
	after    esh3ar.Position
}

// sharedPage is a read that several streams use. Its fields are immutable once done is closed.
type sharedPage struct {
	done chan struct{}
	page esh3ar.EventPage
	err  error
}

// keptPages bounds the cached pages, about 10 MiB. They serve streams that reach the same position a little later.
const keptPages = 64

func newCatchUp(o *Options) *catchUp {
	c := &catchUp{pace: o.Pace, places: fairshare.New[esh3ar.BusinessID](fairshare.Options{
		Name: "event_catch_up", Total: int64(o.CatchUps), MaxWaitingPerOwner: o.PerBusiness, MaxWaiting: o.Total,
	})}
	c.mu.pages = map[pageKey]*sharedPage{}
	return c
}

// read reads a page after q.After when it is the turn of the business. It returns as soon as the page is there; the slot is
// released later, after a time that grows with the amount read.
func (c *catchUp) read(ctx context.Context, log esh3ar.EventLog, q *esh3ar.EventQuery) (esh3ar.EventPage, error) {
	business := q.Businesses[0]
	if err := c.places.Acquire(ctx, business, 1); err != nil {
		return esh3ar.EventPage{}, err
	}
	start := time.Now()
	page, err := c.shared(ctx, log, q)
	took := max(3*time.Since(start), time.Duration(len(page.Entries))*c.pace)
	time.AfterFunc(took, func() { c.places.Release(business, 1) })
	return page, err
}

// shared reads a page, or waits for the same read of another stream. A page at the end of the log is not cached, because it grows.
func (c *catchUp) shared(ctx context.Context, log esh3ar.EventLog, q *esh3ar.EventQuery) (esh3ar.EventPage, error) {
	key := pageKey{q.Businesses[0], q.After}
	for {
		one, mine := c.enter(key)
		if mine {
			one.page, one.err = log.Events(ctx, *q)
			if one.err != nil || one.page.Next == q.After || len(one.page.Entries) < q.Limit {
				c.forget(key, one)
			}
			close(one.done)
			return one.page, one.err
		}
		select {
		case <-one.done:
		case <-ctx.Done():
			return esh3ar.EventPage{}, context.Cause(ctx)
		}
		if one.err == nil {
			return one.page, nil
		}
		if err := context.Cause(ctx); err != nil { // otherwise only the caller that did the read may have canceled it
			return esh3ar.EventPage{}, err
		}
	}
}

// enter returns the page of a key. mine reports whether the caller must read it.
func (c *catchUp) enter(key pageKey) (one *sharedPage, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one = c.mu.pages[key]
	if one != nil {
		return one, false
	}
	one = &sharedPage{done: make(chan struct{})}
	c.mu.pages[key] = one
	c.mu.order = append(c.mu.order, key)
	if len(c.mu.order) > keptPages {
		delete(c.mu.pages, c.mu.order[0])
		c.mu.order = append(c.mu.order[:0], c.mu.order[1:]...)
	}
	return one, true
}

func (c *catchUp) forget(key pageKey, one *sharedPage) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.pages[key] == one {
		delete(c.mu.pages, key)
		for i := range c.mu.order {
			if c.mu.order[i] == key {
				c.mu.order = append(c.mu.order[:i], c.mu.order[i+1:]...)
				return
			}
		}
	}
}
