package signalr

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// inflow takes what a client sends in POST requests: the bodies one after the other, each no faster than the hub reads.
// It is the other half of the transports whose own direction is from the server to the client.
type inflow struct {
	conn *Conn
	turn chan struct{} // holds one token, taken by the request whose body is read; the others wait in net/http

	mu    sync.Mutex
	posts int           // requests whose body is read, or that wait for their turn
	moved chan struct{} // closed when reading may have been paused or resumed; nil if no goroutine waits
	over  bool
}

func newInflow(c *Conn) inflow {
	turn := make(chan struct{}, 1)
	turn <- struct{}{}
	return inflow{conn: c, turn: turn}
}

// receiver is a link whose client sends by POST.
type receiver interface {
	take(w http.ResponseWriter, r *http.Request) error
}

var (
	_ receiver = (*eventStream)(nil)
	_ receiver = (*longPoll)(nil)
)

// errBody is a request body that broke off.
var errBody = errors.New("body of the request broke off")

// maxPosts is how many requests of one connection may wait for their turn. Microsoft's clients send one after the other.
const maxPosts = 16

var errPosts = errors.New("too many requests wait")

// post takes bytes of the hub stream from a request.
func (s *Server) post(w http.ResponseWriter, r *http.Request, ask request) {
	switch {
	case ask.token == "":
		plain(w, http.StatusBadRequest, idRequired)
		return
	case ask.conn == nil:
		// A connection that was negotiated but not connected does not accept posts either.
		plain(w, http.StatusNotFound, noConnection)
		return
	}
	defer ask.conn.containRequest()
	to, ok := ask.conn.transport().(receiver)
	if !ok {
		plain(w, http.StatusMethodNotAllowed, "POST requests are not allowed for WebSocket connections.")
		return
	}
	ask.conn.renew(ask.who)
	switch err := to.take(w, r); {
	case err == nil:
		plain(w, http.StatusOK, "")
	case errors.Is(err, ErrClosed):
		plain(w, http.StatusNotFound, noConnection)
	case errors.Is(err, errPosts):
		w.Header().Set("Retry-After", "1")
		plain(w, http.StatusTooManyRequests, "Too many requests of this connection wait")
	default:
		plain(w, http.StatusBadRequest, "The body broke off")
	}
}

// postPart is how much of a body is read before it is handed on. A body that is smaller and breaks off leaves no trace.
const postPart = 16 << 10

// take reads the request's body into the hub stream. It returns when all of it is accepted, with [ErrClosed] when the
// connection has ended, or with errBody.
func (f *inflow) take(w http.ResponseWriter, r *http.Request) error {
	if !f.enter() {
		return errPosts
	}
	defer f.leave()
	select {
	case <-f.turn:
	case <-r.Context().Done():
		return errBody
	}
	defer func() { f.turn <- struct{}{} }()
	if f.closed() {
		return ErrClosed
	}
	return f.copy(http.NewResponseController(w), r)
}

// enter counts a request; false when there are too many.
func (f *inflow) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.posts >= maxPosts {
		return false
	}
	f.posts++
	return true
}

func (f *inflow) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.posts--
}

func (f *inflow) copy(rc *http.ResponseController, r *http.Request) error {
	buf := newBuffer()
	defer buf.free()
	for more := true; more; {
		var err error
		if more, err = f.read(rc, r, buf); err != nil {
			return err
		}
		if len(buf.b) > 0 {
			f.conn.heard()
			f.conn.server.counters.bytesIn.Add(int64(len(buf.b)))
		}
		f.conn.in.receive(buf.b)
		buf.b = buf.b[:0]
		_ = rc.SetReadDeadline(time.Time{}) // as in read
		if more && f.closed() {
			return ErrClosed // the rest of the body is dropped
		}
		if err = f.room(r.Context()); err != nil {
			return err
		}
		if more && f.closed() {
			return ErrClosed // the last part may be what ends the connection; the rest of the others is lost
		}
	}
	return nil
}

// read fills the buffer with the next part of the body, and reports whether there may be another.
func (f *inflow) read(rc *http.ResponseController, r *http.Request, buf *buffer) (more bool, err error) {
	t := &f.conn.server.opts.Timeouts
	begun := time.Now()
	for len(buf.b) < postPart {
		var deadline time.Time
		if t.Send > 0 {
			deadline = time.Now().Add(t.Send)
		}
		if last := begun.Add(t.Message); t.Message > 0 && (deadline.IsZero() || last.Before(deadline)) {
			deadline = last // however steadily it comes
		}
		if !deadline.IsZero() {
			// Not every ResponseWriter can; then the application's server bounds the wait, or nothing.
			_ = rc.SetReadDeadline(deadline)
		}
		if len(buf.b) == cap(buf.b) {
			buf.b = append(buf.b, 0)[:len(buf.b)]
		}
		n, err := r.Body.Read(buf.b[len(buf.b):cap(buf.b)])
		buf.b = buf.b[:len(buf.b)+n]
		switch {
		case err == io.EOF: //nolint:errorlint // Read returns it bare
			return false, nil
		case err != nil:
			return false, errBody
		}
	}
	return true, nil
}

// room waits until the hub reads on.
func (f *inflow) room(ctx context.Context) error {
	for {
		moved := f.changed()
		if !f.conn.in.paused() {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return errBody
		}
		if f.closed() {
			return ErrClosed
		}
	}
}

// closed reports that the hub takes nothing from this client any more.
func (f *inflow) closed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.over || f.conn.life.phase.Load() == phaseClosing
}

// changed returns a channel that is closed when it is worth asking again.
func (f *inflow) changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return closedChan
	}
	if f.moved == nil {
		f.moved = make(chan struct{})
	}
	return f.moved
}

func (f *inflow) readsChanged() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wakeLocked()
}

// stop wakes the requests that wait for room: they fail.
func (f *inflow) stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.over = true
	f.wakeLocked()
}

func (f *inflow) wakeLocked() {
	if f.moved != nil {
		close(f.moved)
		f.moved = nil
	}
}
