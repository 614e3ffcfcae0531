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

// eventStream is a link that writes Server-Sent Events to one long response, on the goroutine of its request.
type eventStream struct {
	inflow

	wake chan struct{} // capacity 1; signals that bytes wait or that the stream must end

	state struct {
		sync.Mutex
		rc     *http.ResponseController // nil after the response, when it belongs to net/http again
		ending bool                     // the stream ends after the bytes that wait were written
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

// begin, end and goodbye add no framing: events are formed when they are written, because only then the number of messages
// per event is known.
func (l *eventStream) begin(dst []byte, _ int) []byte   { return dst }
func (l *eventStream) end(dst []byte) []byte            { return dst }
func (l *eventStream) goodbye(dst []byte, _ int) []byte { return dst }

// connectEvents answers a request with an event stream that ends with the connection.
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

// openEvents sends the response header and a comment. Without the comment, some browsers and proxies delay the header.
func openEvents(w http.ResponseWriter, rc *http.ResponseController) error {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache,no-store")
	h.Set("Pragma", "no-cache")
	h.Set("Content-Encoding", "identity") // compressing middleware would buffer events
	h.Set("X-Accel-Buffering", "no")      // nginx would buffer events
	// The deadlines of the application's http.Server are meant for requests that are answered at once.
	_ = rc.SetReadDeadline(time.Time{}) // not every ResponseWriter supports deadlines
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

// serve writes events until the connection ends, which is not an error, or until a write fails.
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

// writePart is the size of one write in bytes. Each part that the client takes is progress, see Timeouts.Send.
const writePart = 16 << 10

// write writes an event in parts, so that a client that reads a large event slowly still makes progress.
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

// appendEvent appends bytes of the hub stream as one event, with one data line per line of b.
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

// stop ends the stream, at once if now is set, otherwise after the bytes that wait. A write in progress fails after
// patience, if that is not 0.
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
