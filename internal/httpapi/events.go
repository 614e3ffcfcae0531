package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/eventfeed"
	"github.com/esh3artech/esh3ar/internal/opaque"
	"github.com/esh3artech/esh3ar/internal/wire"
)

const (
	// streamComment is how often a quiet stream shows that it is alive: proxies cut what is silent for long.
	streamComment = 15 * time.Second
	// streamWrite is how long a write may take. Who does not read for so long comes back with Last-Event-ID.
	streamWrite = 30 * time.Second
	// streamLook is how often a stream looks whether its key still stands: a revoked one is in force within a second.
	streamLook = 500 * time.Millisecond
)

// eventStream lets businesses in for a stream. A browser's EventSource cannot send headers, so here, and only here, the
// key may come in the query.
func (a *API) eventStream(x *exchange) error {
	x.queryToken = true
	return a.business(a.events)(x)
}

// events is GET /v1/events: server-sent events (WHATWG HTML, section 9.2).
func (a *API) events(x *exchange) error {
	stream, err := a.openStream(x)
	if err != nil {
		return err
	}
	defer stream.Close()
	header := x.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // proxies that know it send on at once
	x.status = http.StatusOK
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method == http.MethodHead {
		return nil
	}
	s := &eventWriter{x: x, control: http.NewResponseController(x.w)}
	_ = s.control.SetReadDeadline(time.Time{}) // the server's is for requests that end
	// Whoever is cut off before the first event knows by the id where to go on.
	if !s.write(fmt.Appendf(nil, ": hello\nid: %s\n\n", a.eventID(x, stream.Position()))) {
		return nil
	}
	ctx, cancel := context.WithCancel(x.r.Context())
	defer cancel()
	stop := context.AfterFunc(a.Draining(), cancel) // the caller finds its way to another node, or back to this one
	defer stop()
	s.stream(ctx, stream)
	return nil
}

// openStream finds where the stream begins.
func (a *API) openStream(x *exchange) (*eventfeed.Stream, error) {
	var after string
	if err := parameters(x.r.URL.RawQuery, func(name, value string) (why string) {
		switch name {
		case "access_token":
		case "lastEventId":
			after = value
		default:
			return unknownParameter
		}
		return ""
	}); err != nil {
		return nil, err
	}
	where := "the parameter lastEventId"
	if header := x.r.Header.Get("Last-Event-ID"); header != "" { // a browser that comes back says it here
		after, where = header, "the header Last-Event-ID"
	}
	if after == "" {
		return a.Feed.Tail(x.r.Context(), x.caller.Business)
	}
	position, err := a.Cursors.Open(opaque.Events, x.caller.Business, after)
	var stream *eventfeed.Stream
	if err == nil {
		stream, err = a.Feed.After(x.r.Context(), x.caller.Business, esh3ar.Position(position))
	}
	if err != nil && (errors.Is(err, opaque.ErrUnknown) || esh3ar.CodeOf(err) == esh3ar.Invalid) {
		return nil, validationFailed.problem(where + " is not the id of an event of this stream: " + url.QueryEscape(after))
	}
	return stream, err
}

// eventWriter writes a stream to its caller.
type eventWriter struct {
	x       *exchange
	control *http.ResponseController
	wrote   time.Time
	looked  time.Time
	buffer  []byte
}

// stream writes until the caller has gone, the key is revoked, or the node drains.
func (s *eventWriter) stream(ctx context.Context, stream *eventfeed.Stream) {
	for s.stands(ctx) {
		batch, err := stream.NextWithin(ctx, streamLook)
		if err != nil {
			return
		}
		s.buffer = s.appendBatch(s.buffer[:0], &batch)
		if len(s.buffer) == 0 {
			if time.Since(s.wrote) < streamComment {
				continue
			}
			s.buffer = append(s.buffer, ": still here\n\n"...)
		}
		if !s.write(s.buffer) {
			return
		}
	}
}

// stands tells, now and then, whether the key still does. A store that cannot say does not end a stream.
func (s *eventWriter) stands(ctx context.Context) bool {
	if time.Since(s.looked) < streamLook {
		return true
	}
	s.looked = time.Now()
	token, err := s.x.credential()
	if err != nil {
		return false
	}
	_, err = s.x.api.Keys.Authenticate(ctx, token)
	return err == nil || esh3ar.CodeOf(err) != esh3ar.Unauthenticated
}

func (s *eventWriter) write(text []byte) bool {
	s.wrote = time.Now()
	if s.control.SetWriteDeadline(s.wrote.Add(streamWrite)) != nil {
		return false
	}
	_, err := s.x.w.Write(text)
	return err == nil && s.control.Flush() == nil
}

// eventID is a position as the caller's business sees it.
func (a *API) eventID(x *exchange, p esh3ar.Position) string {
	return a.Cursors.Seal(opaque.Events, x.caller.Business, string(p))
}

// appendBatch writes events as the wire has them. None of the values can hold a line break: ids are sealed, and JSON
// escapes it.
func (s *eventWriter) appendBatch(dst []byte, b *eventfeed.Batch) []byte {
	if b.Reset {
		dst = append(dst, "event: reset\ndata: {}\n\n"...)
	}
	for i := range b.Entries {
		dst = append(dst, "event: message.status\nid: "...)
		dst = s.x.api.Cursors.AppendSealed(dst, opaque.Events, s.x.caller.Business, string(b.Entries[i].Position))
		dst = wire.AppendEvent(append(dst, "\ndata: "...), &b.Entries[i].Event)
		dst = append(dst, "\n\n"...)
	}
	return dst
}
