package signalr

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// eventStream is a link that writes Server-Sent Events into one long answer, on the goroutine that net/http has for it.
type eventStream struct {
	inflow

	wake chan struct{} // room for one: something waits, or the stream is to end

	state struct {
		sync.Mutex
		rc     *http.ResponseController // nil when the answer is over: it belongs to net/http again
		ending bool                     // what waits is still written
		ended  bool
	}
}

var _ link = (*eventStream)(nil)

func newEventStream(c *Conn) *eventStream {
	return &eventStream{inflow: newInflow(c), wake: make(chan struct{}, 1)}
}

func (l *eventStream) kind() Transports { return ServerSentEvents }
func (l *eventStream) binary() bool     { return false }
func (l *eventStream) polled() bool     { return false }
func (l *eventStream) beat(int64)       {}

// Events are made of whole messages when they are written, as their number per event is only known then.
func (l *eventStream) begin(dst []byte, _ int) []byte   { return dst }
func (l *eventStream) end(dst []byte) []byte            { return dst }
func (l *eventStream) goodbye(dst []byte, _ int) []byte { return dst }

// connectEvents answers with a stream that ends with the connection.
func (s *Server) connectEvents(w http.ResponseWriter, r *http.Request, ask request) {
	c := s.claim(w, r, ask)
	if c == nil {
		return
	}
	defer c.containRequest()
	l := c.link.(*eventStream) //nolint:forcetypeassert // made above
	rc := http.NewResponseController(w)
	if err := openEvents(w, rc); err != nil {
		if errors.Is(err, http.ErrNotSupported) {
			s.noStream(w, err)
			for _, name := range []string{"Content-Encoding", "Pragma", "X-Accel-Buffering"} {
				w.Header().Del(name)
			}
			plain(w, http.StatusInternalServerError, "Events cannot be streamed: the server's http.ResponseWriter cannot flush.")
		}
		s.lost(c, err)
		return
	}
	l.attach(rc)
	err := l.serve(r.Context(), w, rc)
	l.detach()
	if err != nil {
		c.failed(l, err)
	}
	c.linkGone(l)
}

// openEvents sends the head and a comment, without which some browsers and proxies hold the head back.
func openEvents(w http.ResponseWriter, rc *http.ResponseController) error {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache,no-store")
	h.Set("Pragma", "no-cache")
	h.Set("Content-Encoding", "identity") // compressing middleware would gather events
	h.Set("X-Accel-Buffering", "no")      // as would nginx
	// The application's own deadlines are for requests that are answered at once.
	_ = rc.SetReadDeadline(time.Time{}) // not every ResponseWriter has them
	_ = rc.SetWriteDeadline(time.Time{})
	if err := rc.Flush(); err != nil { // sends the head with 200, or nothing where the writer cannot flush
		return err
	}
	if _, err := w.Write([]byte(":\r\n")); err != nil {
		return err
	}
	return rc.Flush()
}

func (l *eventStream) attach(rc *http.ResponseController) {
	l.state.Lock()
	l.state.rc = rc
	l.state.Unlock()
	l.flush()
}

func (l *eventStream) detach() {
	l.inflow.stop()
	l.state.Lock()
	defer l.state.Unlock()
	l.state.rc = nil
	l.state.ended = true
}

// serve writes until the connection ends, which is no error, or the client takes no more.
func (l *eventStream) serve(ctx context.Context, w http.ResponseWriter, rc *http.ResponseController) error {
	event := newBuffer()
	defer func() { event.free() }()
	for {
		select {
		case <-l.wake:
		case <-ctx.Done():
			return nil
		}
		for b := l.conn.out.advance(l, 0); b != nil; b = l.conn.out.advance(l, len(b)) {
			event.b = appendEvent(event.b[:0], b)
			if err := l.write(w, event.b); err != nil {
				return err
			}
			if err := rc.Flush(); err != nil {
				return err
			}
		}
		if cap(event.b) > bufferKeep {
			event = newBuffer()
		}
		if l.over() {
			return nil
		}
	}
}

// writePart is how much is written at once, in bytes: each part that a client takes is progress, see Timeouts.Send.
const writePart = 16 << 10

// write writes an event in parts, so that a client that takes a large one slowly is not taken for one that takes nothing.
func (l *eventStream) write(w io.Writer, event []byte) error {
	for len(event) > 0 {
		n := min(len(event), writePart)
		if _, err := w.Write(event[:n]); err != nil {
			return err
		}
		l.conn.out.rearm(l.conn.server.now())
		event = event[n:]
	}
	return nil
}

// appendEvent appends bytes of the hub stream as one event. Its lines are those of the bytes.
func appendEvent(dst, b []byte) []byte {
	for more := true; more; {
		var line []byte
		line, b, more = bytes.Cut(b, []byte{'\n'})
		if more {
			line = bytes.TrimSuffix(line, []byte{'\r'})
		}
		dst = append(append(append(dst, "data: "...), line...), "\r\n"...)
	}
	return append(dst, "\r\n"...)
}

func (l *eventStream) over() bool {
	l.state.Lock()
	defer l.state.Unlock()
	return l.state.ended || l.state.ending && l.conn.out.pending() == 0
}

func (l *eventStream) flush() {
	select {
	case l.wake <- struct{}{}:
	default: // it is going to look anyway
	}
}

func (l *eventStream) drained() { l.stop(false, 0) }
func (l *eventStream) hangUp()  { l.stop(false, upgradeTimeout) }
func (l *eventStream) abort()   { l.stop(true, -time.Second) }

// stop ends the stream, after what waits or at once. A write that does not end is given until patience, if that is not 0.
func (l *eventStream) stop(now bool, patience time.Duration) {
	l.state.Lock()
	l.state.ending = true
	l.state.ended = l.state.ended || now
	if l.state.rc != nil && patience != 0 {
		_ = l.state.rc.SetWriteDeadline(time.Now().Add(patience)) // not every ResponseWriter can
	}
	l.state.Unlock()
	l.flush()
}
