package gateway

import (
	"errors"
	"net/http"

	"github.com/esh3artech/esh3ar/internal/gateway/balance"
	"github.com/esh3artech/esh3ar/internal/gateway/upstream"
)

// copyResponse sends the node's response to the client. A response that is not a stream is buffered first, if there is room,
// so that the call can be retried if the node dies in the middle, and a slow client holds no slot.
func (t *attempt) copyResponse(v *visit, a upstream.Answer) (done bool) {
	if a.Status == http.StatusSwitchingProtocols {
		t.tunnel(v.conn)
		return true
	}
	if t.kind.Long() {
		return t.streamResponse(v, a)
	}
	v.conn.Extend(t.nodeDeadline())
	switch err := v.conn.Copy(responseBuffer{t.exchange}, a); {
	case err == nil:
		v.done(a)
		t.endVisit(v)
		t.sendBuffered(a.Status)
		return true
	case !errors.Is(err, errNotBuffered):
		return t.onConnError(v, err)
	case t.page || len(t.answer.bytes) < maxBufferedResponse/2 && t.safe: // no memory, and the call changed nothing
		v.conn.Close()
		t.endVisit(v)
		t.answerProblem(overloaded, "this caller has reached its share of long responses")
		return true
	}
	return t.streamResponse(v, a)
}

// streamResponse sends the buffered part of a response and then the rest as it arrives. If the response breaks off, so does
// the client's.
func (t *attempt) streamResponse(v *visit, a upstream.Answer) (done bool) {
	p := &pacedWriter{attempt: t, conn: v.conn, control: http.NewResponseController(t.w), stream: t.kind.Long(), began: t.g.opts.Now()}
	switch err := p.copy(a); {
	case err == nil:
		v.done(a)
	case upstream.IsCaller(err) || t.ctx.Err() != nil:
		v.conn.Close()
		t.abortResponse()
	default:
		v.conn.Close()
		v.verdict = balance.Broken
		t.abortResponse()
	}
	return true
}

// abortResponse aborts a partial response, so that it does not look complete. An event stream just ends when the gateway
// stops, as at a node.
func (t *attempt) abortResponse() {
	if t.g.ended.Err() != nil && t.kind == balance.Stream {
		return
	}
	panic(http.ErrAbortHandler)
}
