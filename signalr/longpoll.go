package signalr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

// longPoll is a link whose client fetches messages by one request after the other. Between two polls, messages wait in the
// outbox and no goroutine exists; an open poll uses only the goroutine of its request.
type longPoll struct {
	inflow

	poll struct {
		sync.Mutex
		current *poll  // the open poll; nil between two polls
		heir    bool   // another poll waits for current to end
		since   int64  // time at which current began, or the previous poll ended
		last    bool   // current is the last poll
		over    bool   // no more polls are served
		probe   uint64 // number of the newest probe; 0 if there is none or it was answered
	}
}

// poll is one request for messages.
type poll struct {
	wake   chan struct{} // capacity 1; signals a change
	done   chan struct{} // closed after the response
	rc     *http.ResponseController
	reason pollReason // reason to end without data; pollOn if none
}

type pollReason int

const (
	pollOn pollReason = iota
	pollTimeout
	pollSuperseded
	pollOver
)

var _ link = (*longPoll)(nil)

func newLongPoll(c *Conn) *longPoll {
	l := &longPoll{inflow: newInflow(c)}
	l.poll.since = c.server.time()
	return l
}

func (l *longPoll) kind() Transports { return LongPolling }
func (l *longPoll) binary() bool     { return true }
func (l *longPoll) polled() bool     { return true }

func (l *longPoll) begin(dst []byte, _ int) []byte   { return dst }
func (l *longPoll) end(dst []byte) []byte            { return dst }
func (l *longPoll) goodbye(dst []byte, _ int) []byte { return dst }

// connectPolling answers the first request of a connection at once, without data: it only selects the transport.
func (s *Server) connectPolling(w http.ResponseWriter, r *http.Request, ask request) {
	c := s.claim(w, r, ask)
	if c == nil {
		return
	}
	defer c.containRequest()
	c.out.advance(c.link, 0) // the outbox is empty: later messages wake the polls
	answerPoll(w, nil, func() {})
}

// serve lets a request wait for data and answers it.
func (l *longPoll) serve(w http.ResponseWriter, r *http.Request) {
	p := &poll{wake: make(chan struct{}, 1), done: make(chan struct{}), rc: http.NewResponseController(w)}
	if status := l.enter(r.Context(), p); status != 0 {
		refusePoll(w, status)
		return
	}
	defer l.leave(p)
	l.polledAgain()
	// The deadlines of the application's http.Server are meant for requests that are answered at once.
	_ = p.rc.SetReadDeadline(time.Time{}) // not every ResponseWriter supports deadlines
	_ = p.rc.SetWriteDeadline(time.Time{})
	body, status := l.wait(r.Context(), p)
	switch status {
	case http.StatusOK:
		l.deliver(w, p, body)
	case http.StatusNoContent:
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(status)
	}
}

// enter makes p the current poll. The previous poll ends first, so that messages stay in order. Only one poll may wait for
// that; another one is refused with 409. A status of 0 means success.
func (l *longPoll) enter(ctx context.Context, p *poll) (status int) {
	l.poll.Lock()
	defer l.poll.Unlock()
	if l.poll.heir {
		return http.StatusConflict
	}
	if before := l.poll.current; before != nil {
		before.endLocked(pollSuperseded)
		l.poll.heir = true
		l.poll.Unlock()
		select {
		case <-before.done:
		case <-ctx.Done():
		}
		l.poll.Lock()
		l.poll.heir = false
	}
	switch {
	case l.poll.over:
		return http.StatusNotFound
	case l.poll.current != nil: // the client of p has gone while p waited
		return http.StatusConflict
	}
	l.poll.current = p
	l.poll.since = l.conn.server.time()
	return 0
}

// leave ends p as the current poll.
func (l *longPoll) leave(p *poll) {
	l.poll.Lock()
	l.poll.current = nil
	l.poll.since = l.conn.server.time()
	last := l.poll.last
	l.poll.Unlock()
	close(p.done)
	if last {
		l.finish()
	}
}

// wait waits for data or a reason to end and returns the response for p. A status of 0 means no response: the client is gone.
func (l *longPoll) wait(ctx context.Context, p *poll) (body []byte, status int) {
	for {
		if l.reason(p) == pollSuperseded {
			return nil, http.StatusNoContent
		}
		if b := l.conn.out.advance(l, 0); b != nil {
			return b, http.StatusOK
		}
		if l.conn.out.finished() {
			l.endAfter(p)
			return nil, http.StatusNoContent
		}
		switch l.reason(p) {
		case pollTimeout:
			return nil, http.StatusOK
		case pollOver:
			return nil, http.StatusNoContent
		case pollOn, pollSuperseded:
		}
		select {
		case <-p.wake:
		case <-ctx.Done():
			return nil, 0
		}
	}
}

// deliver answers a poll with data. If that fails, the connection ends, because a client cannot request lost data again.
func (l *longPoll) deliver(w http.ResponseWriter, p *poll, body []byte) {
	progress := func() {
		if patience := l.conn.server.opts.Timeouts.Send; patience > 0 {
			_ = p.rc.SetWriteDeadline(time.Now().Add(patience)) // as above
		}
	}
	err := answerPoll(w, body, progress)
	if err == nil && len(body) > 0 {
		// Flush under the deadline. If the ResponseWriter does not support it, data is written when the handler returns.
		err = p.rc.Flush()
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		l.conn.failed(l, fmt.Errorf("%w: %w", errSendTimeout, err))
		return
	case err != nil && !errors.Is(err, http.ErrNotSupported):
		l.conn.failed(l, err)
		return
	case len(body) > 0:
		l.conn.out.advance(l, len(body))
	}
	_ = p.rc.SetWriteDeadline(time.Time{}) // the socket's next request may belong to another handler
}

// answerPoll writes the body in parts and calls progress before each, which extends the deadline of a slow client.
func answerPoll(w http.ResponseWriter, body []byte, progress func()) error {
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	for progress(); len(body) > 0; progress() {
		n := min(len(body), writePart)
		if _, err := w.Write(body[:n]); err != nil {
			return err
		}
		body = body[n:]
	}
	return nil
}

func refusePoll(w http.ResponseWriter, status int) {
	if status == http.StatusConflict {
		occupied(w)
		return
	}
	plain(w, status, noConnection)
}

// neverCache sets headers that forbid caching the response of a poll.
func neverCache(h http.Header) {
	h.Set("Cache-Control", "no-cache, no-store")
	h.Set("Pragma", "no-cache")
	h.Set("Expires", "Thu, 01 Jan 1970 00:00:00 GMT")
}

func (l *longPoll) reason(p *poll) pollReason {
	l.poll.Lock()
	defer l.poll.Unlock()
	return p.reason
}

// endLocked makes p end. Only the first reason counts.
func (p *poll) endLocked(reason pollReason) {
	if p.reason == pollOn {
		p.reason = reason
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// flush wakes the open poll. Without one, the bytes wait for the next poll.
func (l *longPoll) flush() {
	l.poll.Lock()
	defer l.poll.Unlock()
	if p := l.poll.current; p != nil {
		p.endLocked(pollOn)
	}
}

// drained does nothing: the poll that finds the outbox sealed and empty is the last one.
func (l *longPoll) drained() {}

// endAfter makes p the last poll.
func (l *longPoll) endAfter(p *poll) {
	l.poll.Lock()
	defer l.poll.Unlock()
	l.poll.last = l.poll.current == p
}

// hangUp ends the transport. An open poll still delivers the bytes that wait.
func (l *longPoll) hangUp() {
	l.poll.Lock()
	p := l.poll.current
	if p != nil {
		l.poll.last = true
		p.endLocked(pollOver)
		_ = p.rc.SetWriteDeadline(time.Now().Add(upgradeTimeout)) // as above
	}
	l.poll.Unlock()
	if p == nil {
		l.finish()
	}
}

// abort ends polling at once.
func (l *longPoll) abort() { l.finish() }

// finish ends the transport: an open poll is answered, later polls and posts are refused. Only the first call returns true.
func (l *longPoll) finish() bool {
	l.poll.Lock()
	first := !l.poll.over
	l.poll.over = true
	if p := l.poll.current; p != nil {
		p.endLocked(pollOver)
	}
	l.poll.Unlock()
	if first {
		l.inflow.stop()
		l.conn.linkGone(l)
	}
	return first
}

// beat ends a poll that has been open for Timeouts.Poll, and a connection without a poll for Timeouts.Disconnect.
func (l *longPoll) beat(now int64) {
	t := &l.conn.server.opts.Timeouts
	l.poll.Lock()
	p, since, heir := l.poll.current, l.poll.since, l.poll.heir
	if p != nil && over(now, since, t.Poll) {
		p.endLocked(pollTimeout)
	}
	l.poll.Unlock()
	if p == nil && !heir && over(now, since, t.Disconnect) {
		l.conn.end(ending{silent: true, code: closeNormal, status: StatusTimeout, peer: true})
		l.finish()
	}
}

// terminate ends a connection at the request of its client, a DELETE.
func (s *Server) terminate(w http.ResponseWriter, ask request) {
	const refused = "Cannot terminate this connection using the DELETE endpoint."
	switch {
	case ask.token == "":
		plain(w, http.StatusBadRequest, idRequired)
	case ask.conn == nil && s.pending.has(ask.token):
		plain(w, http.StatusBadRequest, refused)
	case ask.conn == nil:
		plain(w, http.StatusNotFound, noConnection)
	default:
		l, ok := ask.conn.transport().(*longPoll)
		switch {
		case !ok:
			plain(w, http.StatusBadRequest, refused)
		case l.finish():
			plain(w, http.StatusAccepted, "")
		default:
			plain(w, http.StatusNotFound, noConnection)
		}
	}
}
