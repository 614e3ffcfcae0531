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
	// keepAliveInterval is the longest silence on a stream. After it a comment is sent, because proxies close idle
	// connections.
	keepAliveInterval = 15 * time.Second
	// streamWriteTimeout bounds one write. A client that stops reading is disconnected and can resume with Last-Event-ID.
	streamWriteTimeout = 30 * time.Second
	// keyCheckInterval is how often a stream verifies its API key again, so that a revocation takes effect within a second.
	keyCheckInterval = 500 * time.Millisecond
)

// eventStream authenticates a business for an event stream. A browser's EventSource cannot send headers, so this route
// alone accepts the key in the query.
func (a *API) eventStream(x *exchange) error {
	x.queryToken = true
	return a.requireBusiness(a.events)(x)
}

// events implements GET /v1/events: server-sent events (WHATWG HTML, section 9.2).
func (a *API) events(x *exchange) error {
	stream, err := a.openStream(x)
	if err != nil {
		return err
	}
	defer stream.Close()
	header := x.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // nginx and others then do not buffer the response
	x.status = http.StatusOK
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method == http.MethodHead {
		return nil
	}
	s := &eventWriter{x: x, control: http.NewResponseController(x.w)}
	_ = s.control.SetReadDeadline(time.Time{}) // the server's read timeout is for requests that end
	// The id lets a client that is disconnected before the first event resume here.
	if !s.write(fmt.Appendf(nil, ": hello\nid: %s\n\n", a.eventID(x, stream.Position()))) {
		return nil
	}
	ctx, cancel := context.WithCancel(x.r.Context())
	defer cancel()
	stop := context.AfterFunc(a.Draining(), cancel) // the client reconnects, to another node or to this one
	defer stop()
	s.run(ctx, stream)
	return nil
}

// openStream opens the stream behind the event id that the header Last-Event-ID or the parameter lastEventId gives, or
// at the newest event if neither is given.
func (a *API) openStream(x *exchange) (*eventfeed.Stream, error) {
	var after string
	if err := parseParameters(x.r.URL.RawQuery, func(name, value string) (why string) {
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
	if header := x.r.Header.Get("Last-Event-ID"); header != "" { // set by a browser that reconnects
		after, where = header, "the header Last-Event-ID"
	}
	if after == "" {
		return a.Feed.Tail(x.r.Context(), x.caller.Business)
	}
	position, err := a.Cursors.Open(opaque.Events, x.caller.Business, after)
	if errors.Is(err, opaque.ErrEarlier) {
		return a.Feed.Restart(x.r.Context(), x.caller.Business)
	}
	var stream *eventfeed.Stream
	if err == nil {
		stream, err = a.Feed.After(x.r.Context(), x.caller.Business, esh3ar.Position(position))
	}
	if err != nil && (errors.Is(err, opaque.ErrUnknown) || esh3ar.CodeOf(err) == esh3ar.Invalid) {
		return nil, validationFailed.problem(where + " is not the id of an event of this stream: " + url.QueryEscape(after))
	}
	return stream, err
}

// eventWriter writes an event stream to its client.
type eventWriter struct {
	x            *exchange
	control      *http.ResponseController
	wroteAt      time.Time // last write
	keyCheckedAt time.Time // last verification of the API key
	buffer       []byte
}

// run writes events until the client disconnects, the key is revoked, or the node drains.
func (s *eventWriter) run(ctx context.Context, stream *eventfeed.Stream) {
	for s.keyValid(ctx) {
		batch, err := stream.NextWithin(ctx, keyCheckInterval)
		if err != nil {
			return
		}
		s.buffer = s.appendBatch(s.buffer[:0], &batch)
		if len(s.buffer) == 0 {
			if time.Since(s.wroteAt) < keepAliveInterval {
				continue
			}
			s.buffer = append(s.buffer, ": still here\n\n"...)
		}
		if !s.write(s.buffer) {
			return
		}
	}
}

// keyValid reports whether the API key is still valid. It verifies the key at most every keyCheckInterval. If the store is
// unavailable, the stream continues.
func (s *eventWriter) keyValid(ctx context.Context) bool {
	if time.Since(s.keyCheckedAt) < keyCheckInterval {
		return true
	}
	s.keyCheckedAt = time.Now()
	token, err := s.x.credential()
	if err != nil {
		return false
	}
	_, err = s.x.api.Keys.Authenticate(ctx, token)
	return err == nil || esh3ar.CodeOf(err) != esh3ar.Unauthenticated
}

func (s *eventWriter) write(text []byte) bool {
	s.wroteAt = time.Now()
	if s.control.SetWriteDeadline(s.wroteAt.Add(streamWriteTimeout)) != nil {
		return false
	}
	_, err := s.x.w.Write(text)
	return err == nil && s.control.Flush() == nil
}

// eventID returns the sealed event id of a position for the caller's business.
func (a *API) eventID(x *exchange, p esh3ar.Position) string {
	return a.Cursors.Seal(opaque.Events, x.caller.Business, string(p))
}

// appendBatch appends events in the text/event-stream format. No value can contain a line break: ids are sealed, and
// JSON escapes line breaks.
func (s *eventWriter) appendBatch(dst []byte, b *eventfeed.Batch) []byte {
	if b.Restored {
		dst = append(dst, "event: reset\ndata: {\"reason\":\"restored\"}\n\n"...)
	} else if b.Reset {
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
