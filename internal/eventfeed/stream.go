package eventfeed

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

// Stream returns the events of one business in the order of the log. One goroutine at a time may call Next.
type Stream struct {
	feed     *Feed
	business esh3ar.BusinessID
	position esh3ar.Position // every event up to it was returned by Next; written by the reader under the feed's lock
	ready    chan struct{}   // capacity 1: the queue has events, or the stream has fallen behind
	ended    chan struct{}
	restarts bool     // the client knows another history of the store, and nothing was returned yet
	shared   struct { // guarded by the feed's lock
		live   bool
		since  uint64 // round in which it became live
		queue  []esh3ar.LogEntry
		closed bool
	}
}

// ErrClosed is returned by Next after Close.
var ErrClosed = errors.New("stream is closed")

// Tail opens a stream of the events from now on.
func (f *Feed) Tail(ctx context.Context, business esh3ar.BusinessID) (*Stream, error) {
	tail, err := f.log.Tail(ctx)
	if err != nil {
		return nil, err
	}
	return f.register(business, tail)
}

// After opens a stream of the events after a position. It returns Invalid if the position is not one of the log, or lies beyond its
// end. A stream there would miss the events up to the position. The feed would also follow it, and the other streams would fall
// behind and read the log without end.
func (f *Feed) After(ctx context.Context, business esh3ar.BusinessID, position esh3ar.Position) (*Stream, error) {
	tail, err := f.log.Tail(ctx)
	if err != nil {
		return nil, err
	}
	if position > tail {
		return nil, esh3ar.Errorf(esh3ar.Invalid, "position %q is not one of this log: it has come to %q", position, tail)
	}
	if _, err := f.log.Events(ctx, esh3ar.EventQuery{After: position, Businesses: []esh3ar.BusinessID{business}, Limit: 1}); err != nil {
		return nil, err
	}
	return f.register(business, position)
}

// Restart opens a stream of all retained events, whose first batch is a reset. It is for a client whose position belongs to an earlier
// history of the store.
func (f *Feed) Restart(ctx context.Context, business esh3ar.BusinessID) (*Stream, error) {
	s, err := f.After(ctx, business, "")
	if err == nil {
		s.restarts = true
	}
	return s, err
}

func (f *Feed) register(business esh3ar.BusinessID, position esh3ar.Position) (*Stream, error) {
	s := &Stream{feed: f, business: business, position: position, ready: make(chan struct{}, 1), ended: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.mu.streams[business]) >= f.opts.PerBusiness {
		return nil, &esh3ar.Error{Code: esh3ar.RateLimited, Text: "too many streams of this business are open", RetryAfter: 5 * time.Second}
	}
	if f.open.Load() >= int64(f.opts.Total) {
		return nil, &esh3ar.Error{Code: esh3ar.Overloaded, Text: "too many streams are open", RetryAfter: 5 * time.Second}
	}
	f.mu.streams[business] = append(f.mu.streams[business], s)
	f.open.Add(1)
	return s, nil
}

// Close ends the stream and a waiting Next. It may be called repeatedly and from any goroutine.
func (s *Stream) Close() {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.shared.closed {
		return
	}
	s.shared.closed = true
	close(s.ended)
	if s.shared.live {
		s.fallBehindLocked()
	}
	f.open.Add(-1)
	rest := slices.DeleteFunc(f.mu.streams[s.business], func(other *Stream) bool { return other == s })
	if len(rest) == 0 {
		delete(f.mu.streams, s.business)
	} else {
		f.mu.streams[s.business] = rest
	}
}

// Position returns the position of the last returned event. A stream that is opened After it continues there.
func (s *Stream) Position() esh3ar.Position { return s.position }

// Batch is the result of Next.
type Batch struct {
	Reset    bool // events before these were deleted and cannot be returned
	Restored bool // with Reset: the store has another history than the one that the client knows
	Entries  []esh3ar.LogEntry
}

// Next waits for events. It retries while the log is unavailable. It returns an error when ctx ends, after Close, or if a retry
// cannot help.
func (s *Stream) Next(ctx context.Context) (Batch, error) {
	var b Batch
	var err error
	for pause, idle := firstPause, 0; ; {
		if err := s.endedBy(ctx); err != nil {
			return b, err
		}
		live, entries := s.takeQueue()
		if len(entries) > 0 {
			return s.counted(Batch{Entries: entries}), nil
		}
		if live {
			if err := s.await(ctx, s.ready, nil); err != nil {
				return b, err
			}
			pause = firstPause
			idle = 0
			continue
		}
		before := s.position
		b, err = s.catchUp(ctx)
		switch {
		case err == nil && (b.Reset || len(b.Entries) > 0):
			return s.counted(b), nil
		case err == nil && s.position != before:
			pause = firstPause
			idle = 0
			continue
		case err == nil:
			// At the end of the log the stream is live now, or more events were distributed meanwhile. If neither, the log has gone
			// back behind the feed.
			idle++
			if idle == 1 {
				continue
			}
		case esh3ar.ReactionTo(err) != esh3ar.RetryLater:
			return b, err
		}
		timer := time.NewTimer(pause)
		err := s.await(ctx, s.ready, timer.C)
		timer.Stop()
		if err != nil {
			return b, err
		}
		pause = min(2*pause, lastPause)
	}
}

// NextWithin calls Next for at most d. It returns an empty batch when d has passed.
func (s *Stream) NextWithin(ctx context.Context, d time.Duration) (Batch, error) {
	within, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	b, err := s.Next(within)
	if err != nil && within.Err() != nil && ctx.Err() == nil && !errors.Is(err, ErrClosed) {
		return Batch{}, nil
	}
	return b, err
}

// Backoff between reads of a log that is unavailable or has gone back.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

func (s *Stream) counted(b Batch) Batch {
	s.feed.stats.events.Add(uint64(len(b.Entries)))
	return b
}

// endedBy returns ErrClosed or the cause of ctx if one of them has ended, else nil.
func (s *Stream) endedBy(ctx context.Context) error {
	select {
	case <-s.ended:
		return ErrClosed
	default:
		return context.Cause(ctx)
	}
}

func (s *Stream) await(ctx context.Context, ready <-chan struct{}, timer <-chan time.Time) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.ended:
		return ErrClosed
	case <-ready:
	case <-timer:
	}
	return nil
}

// takeQueue removes and returns the queued events of a live stream.
func (s *Stream) takeQueue() (live bool, entries []esh3ar.LogEntry) {
	s.feed.mu.Lock()
	defer s.feed.mu.Unlock()
	entries, s.shared.queue = s.shared.queue, nil
	if n := len(entries); n > 0 {
		s.position = entries[n-1].Position
	}
	return s.shared.live, entries
}

// catchUp reads the log from the stream's own position, and makes the stream live at the end of the log.
func (s *Stream) catchUp(ctx context.Context) (Batch, error) {
	var b Batch
	page, err := s.feed.catchUp.read(ctx, s.feed.log, &esh3ar.EventQuery{
		After: s.position, Businesses: []esh3ar.BusinessID{s.business}, Limit: s.feed.opts.PageSize,
	})
	if err != nil {
		if ctx.Err() == nil { // otherwise the stream may only have waited for its turn
			s.feed.stats.failed.Add(1)
		}
		return b, err
	}
	s.moveTo(page.Next)
	b = Batch{Reset: page.Trimmed || s.restarts, Restored: s.restarts, Entries: page.Entries}
	s.restarts = false
	return b, nil
}

// moveTo advances the stream to next. At the end of the log it makes the stream live, unless events were distributed that the
// stream has not read.
func (s *Stream) moveTo(next esh3ar.Position) {
	f := s.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if s.position != next {
		s.position = next
		return
	}
	if f.mu.live == 0 && f.mu.cursor < s.position {
		f.mu.cursor = s.position // no live stream needs the events in between
	}
	if s.shared.live || s.shared.closed || s.position < f.mu.cursor {
		return
	}
	s.shared.live, s.shared.since = true, f.mu.round
	f.mu.live++
	f.Wake() // the feed reads what was committed since
}

// fallBehindLocked makes the stream read the log itself again.
func (s *Stream) fallBehindLocked() {
	s.shared.live = false
	s.shared.queue = nil
	s.feed.mu.live--
	s.signal()
}

// offerLocked queues one event to a live stream. If the queue is full the stream falls behind.
func (s *Stream) offerLocked(entry esh3ar.LogEntry) {
	if !s.shared.live || entry.Position <= s.position {
		return
	}
	if len(s.shared.queue) >= s.feed.opts.QueueSize {
		if faultinject.Is(faultinject.StreamSkips) {
			return
		}
		s.feed.stats.fell.Add(1)
		s.fallBehindLocked()
		return
	}
	s.shared.queue = append(s.shared.queue, entry)
	s.signal()
}

func (s *Stream) signal() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}
