package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway/balance"
	"github.com/esh3artech/esh3ar/internal/gateway/upstream"
	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
)

// forward forwards the call to a node, retries it at other nodes as allowed, and answers.
func (x *exchange) forward() {
	if err := x.body.open(x.g, x.r, x.who, x.limit, x.keyed || x.safe); err != nil {
		x.refuseBody(err)
		return
	}
	trace(x.r.Header)
	ctx, cancel := x.context()
	defer cancel()
	if x.page || !x.body.whole {
		if err := x.enterLarge(ctx); err != nil {
			x.g.dispatch.count(func(c *counts) { c.share++ })
			x.answerProblem(overloaded, err.Error()+"; nothing was stored")
			return
		}
	}
	t := attempt{exchange: x, ctx: ctx}
	if x.body.whole {
		t.startDeadline()
	}
	t.run()
}

// attempt is the forwarding of one call, with its retries at other nodes.
type attempt struct {
	*exchange
	ctx              context.Context //nolint:containedctx // context of the call
	deadline         time.Time       // deadline of the response; zero if none, or while the body has not arrived
	sent             int             // tries of which at least one byte may have reached a node
	maybeProcessedBy *balance.Node   // node that may have processed the call, with unknown outcome; nil if none
	refusal          *refusal        // response of a node that stored nothing; nil if none
}

// refusal is the 503 of a node that stored nothing. It is sent to the client if no other node answers better.
type refusal struct {
	header http.Header
	status int
	body   []byte
}

// startDeadline starts the time of the response, after the body has arrived. If the response may take longer than a minute,
// it removes the server's read deadline.
func (t *attempt) startDeadline() {
	t.deadline = t.nodeDeadline()
	if t.within == 0 || t.within > time.Minute {
		_ = http.NewResponseController(t.w).SetReadDeadline(time.Time{}) // only the writers of tests have no deadlines
	}
}

// nodeDeadline returns the deadline of the node's next step; zero: no deadline.
func (t *attempt) nodeDeadline() time.Time {
	if t.within == 0 {
		return time.Time{}
	}
	return t.g.opts.Now().Add(t.within)
}

func (t *attempt) run() {
	for {
		s, err := t.acquireSlot()
		if err != nil {
			t.answerNoSlot(err)
			return
		}
		if t.tryNode(s) {
			return
		}
	}
}

func (t *attempt) acquireSlot() (slot, error) {
	if t.holder != "" {
		return t.acquireAtHolder()
	}
	return t.g.dispatch.pick(t.ctx, t.who, t.kind, t.tried)
}

// visit is one try at a node: its slot, its connection, and its outcome for the Balancer.
type visit struct {
	slot
	conn    *upstream.Conn // nil after it was returned to the pool
	verdict balance.Verdict
	latency time.Duration
	ended   bool
}

// done returns the connection to the pool after the whole response was read.
func (v *visit) done(a upstream.Answer) {
	v.conn.Done(a)
	v.conn = nil
}

// endVisit releases the slot. It closes the connection unless the whole response was read. Further calls do nothing.
func (t *attempt) endVisit(v *visit) {
	if v.conn != nil {
		v.conn.Close()
	}
	if !v.ended {
		v.ended = true
		t.g.dispatch.release(v.slot, v.verdict, v.latency)
	}
}

// tryNode tries the call at one node. It returns true if the call is answered, and false if another node should be tried.
func (t *attempt) tryNode(s slot) (done bool) {
	t.tried = append(t.tried, s.node)
	c, err := s.pool.Take(t.ctx)
	if err != nil {
		return t.onDialError(s, err)
	}
	v := &visit{slot: s, conn: c, verdict: balance.Broken}
	defer t.endVisit(v)
	began := t.g.opts.Now()
	deadline := t.deadline
	if deadline.IsZero() { // the body is still to be sent
		deadline = t.nodeDeadline()
	}
	c.Begin(t.ctx, deadline, (t.keyed || t.safe) && t.body.replayable())
	sendErr := t.send(c)
	if bad := (badBody{}); errors.As(sendErr, &bad) {
		c.Close()
		v.verdict = balance.Unmeasured
		t.refuseBody(bad.error)
		return true
	}
	if sendErr != nil { // a node may answer and close before it has read the whole request
		c.Extend(t.g.opts.Now().Add(time.Second))
	} else if t.kind == balance.Stream {
		c.Extend(t.g.opts.Now().Add(t.g.opts.StreamResponseTimeout))
	}
	a, err := c.ReadHead(t.r.Method, t.w.Header())
	v.latency = t.g.opts.Now().Sub(began)
	if a.Status == http.StatusSwitchingProtocols && t.kind != balance.Tunnel {
		err = errUnexpectedUpgrade
	}
	if err != nil {
		if sendErr != nil && !errors.Is(sendErr, upstream.ErrEarly) {
			err = sendErr
		}
		return t.onConnError(v, err)
	}
	v.verdict = t.verdictOf(a)
	t.updateOwner(v, a)
	switch {
	case a.Status == http.StatusServiceUnavailable && t.retryRefusal(v, a):
		return false
	case t.maybeProcessedBy != nil && (a.Status == http.StatusServiceUnavailable || a.Status == http.StatusTooManyRequests):
		c.Close() // this node stored nothing, but an earlier one may have
		t.answerUnknown(errRefused)
		return true
	}
	return t.copyResponse(v, a)
}

// updateOwner records whether the node has accepted the credential. A long call's slot then counts for the proven owner.
func (t *attempt) updateOwner(v *visit, a upstream.Answer) {
	switch {
	case t.credential == 0:
	case a.Status == http.StatusUnauthorized && t.proves:
		t.g.owners.refused(t.credential)
	case t.proves && (a.Status < 300):
		who := t.g.owners.accepted(t.credential, t.start)
		if c := connlimit.FromContext(t.r.Context()); !c.IsAuthenticated() {
			kind := connlimit.Business // a device token is recognized only by its use at a hub
			if t.kind == balance.Phone || t.kind == balance.Tunnel {
				kind = connlimit.Device
			}
			c.Authenticated(connlimit.Owner{Kind: kind, ID: strconv.FormatUint(t.credential, 36)})
		}
		if t.kind.Long() && v.who != who {
			t.g.dispatch.reassign(&v.slot, who)
		}
	}
}

// verdictOf returns the verdict about the node that a response implies.
func (t *attempt) verdictOf(a upstream.Answer) balance.Verdict {
	switch {
	case a.Status >= http.StatusInternalServerError:
		return balance.Sick
	case t.measured:
		return balance.Answered
	case t.kind.Long():
		return balance.Unmeasured // the response ends much later
	default:
		return balance.AnsweredUntimed
	}
}

// badBody marks an error of the client's body, not of the node.
type badBody struct{ error }

// writevAbove is the size up to which a body is copied behind the head, in bytes; longer ones are sent with writev.
const writevAbove = 4 << 10

// send sends the request.
func (t *attempt) send(c *upstream.Conn) error {
	t.lines = t.appendHead(t.lines[:0])
	t.body.rewind()
	if !t.body.whole {
		return t.stream(c)
	}
	if len(t.body.kept) > writevAbove {
		return c.Writev(&net.Buffers{t.lines, t.body.kept})
	}
	t.lines = append(t.lines, t.body.kept...)
	_, err := c.Write(t.lines)
	return err
}

// stream sends a body as it arrives. If the node responds before the end, it stops, because the node has decided already.
func (t *attempt) stream(c *upstream.Conn) error {
	if _, err := c.Write(t.lines); err != nil {
		return err
	}
	control := http.NewResponseController(t.w)
	early := c.Listen(func() { _ = control.SetReadDeadline(longAgo) }, t.g.contain) // without deadlines, the read ends with the server's own
	defer early.Stop()
	c.ExtendWrite(t.nodeDeadline())
	chunked := t.r.ContentLength < 0
	room := make([]byte, 32<<10)
	for {
		part, err := t.body.part(t.g, room)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && early.Stop() {
			c.MarkTruncated()
			return upstream.ErrEarly
		}
		if err != nil {
			return badBody{err}
		}
		c.ExtendWrite(t.nodeDeadline())
		if err := writePart(c, part, chunked); err != nil {
			return err
		}
	}
	early.Stop()
	t.startDeadline()
	c.Extend(t.deadline)
	if chunked {
		_, err := c.Write([]byte("0\r\n\r\n"))
		return err
	}
	return nil
}

// longAgo is a deadline in the past.
var longAgo = time.Unix(1, 0)

func writePart(c *upstream.Conn, part []byte, chunked bool) error {
	if !chunked {
		_, err := c.Write(part)
		return err
	}
	if len(part) == 0 {
		return nil // an empty chunk would end the body
	}
	size := append(strconv.AppendInt(nil, int64(len(part)), 16), "\r\n"...)
	return c.Writev(&net.Buffers{size, part, []byte("\r\n")})
}

// onDialError handles a failed connection to a node.
func (t *attempt) onDialError(s slot, err error) (done bool) {
	switch {
	case t.ctx.Err() != nil:
		t.g.dispatch.release(s, balance.Unmeasured, 0)
		t.abandon()
		return true
	case t.g.dispatch.files.isExhausted(&t.g.opts, err):
		t.g.dispatch.release(s, balance.Unmeasured, 0)
		t.answerNoSlot(errNoFiles)
		return true
	}
	t.g.opts.Log.Debug("node cannot be reached", "node", s.node.ID, "error", err)
	t.g.dispatch.release(s, balance.Refused, 0)
	t.g.dispatch.count(func(c *counts) { c.retries++ })
	return false
}

// onConnError handles a broken connection or a timeout.
func (t *attempt) onConnError(v *visit, err error) (done bool) {
	sent := v.conn.Sent()
	v.conn.Close()
	clear(t.w.Header())
	t.answer.release(t.g)
	if t.ctx.Err() != nil {
		v.verdict = balance.Unmeasured
		t.abandon()
		return true
	}
	switch {
	case !sent:
		v.verdict = balance.Unmeasured // the kept connection had ended: no fault of the node
	case !t.safe:
		t.maybeProcessedBy = v.node
		fallthrough
	default:
		t.sent++
	}
	next := balance.Try{
		Sent: sent, Safe: t.safe, Keyed: t.keyed, Replayable: t.body.replayable(), Tries: t.sent,
	}.Next(t.spendRetry)
	switch next {
	case balance.Elsewhere:
		t.g.dispatch.count(func(c *counts) { c.retries++ })
		return false
	case balance.Unavailable:
		t.g.opts.Log.Warn("call failed", "node", v.node.ID, "method", t.r.Method, "path", t.r.URL.Path,
			"requestId", t.requestID[0], "error", err)
		t.answerProblem(overloaded, "the node did not answer; try again later")
	case balance.Unknown, balance.PassOn:
		t.answerUnknown(err)
	}
	return true
}

func (t *attempt) spendRetry() bool { return t.g.dispatch.spendRetry(t.who) }

// abandon ends a call whose client has disconnected, or a stream that has not started when the gateway stops. Without an
// answer net/http would send 200.
func (t *attempt) abandon() {
	if t.r.ProtoMajor > 1 && t.r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	t.answerProblem(overloaded, "this gateway is stopping")
}

// errUnexpectedUpgrade means that a node has answered 101 to a request without Upgrade.
var errUnexpectedUpgrade = errors.New("the node switched protocols without a request to do so")

// errRefused is the cause in the log if the last node refused the call after another may have processed it.
var errRefused = errors.New("the last node refused the call")

// answerUnknown answers outcome_unknown for a call that a node may have processed. err is the cause.
func (t *attempt) answerUnknown(err error) {
	t.g.dispatch.count(func(c *counts) { c.unknown++ })
	t.g.opts.Log.Warn("outcome of a call is unknown", "node", t.maybeProcessedBy.ID, "method", t.r.Method, "path", t.r.URL.Path,
		"requestId", t.requestID[0], "traceparent", t.r.Header.Get("Traceparent"), "error", err)
	t.answerProblem(outcomeUnknown, t.retryAdvice())
}

// retryAdvice returns the detail of outcome_unknown.
func (t *attempt) retryAdvice() string {
	if t.keyed {
		return "the node did not answer, and the call could not be retried at another node; send it again with the same idempotency key"
	}
	return "the node did not answer, and the call may have been processed; sent again it may be processed twice, which an idempotency key prevents"
}

// retryRefusal saves a 503 response and reports whether the call may be retried at another node.
func (t *attempt) retryRefusal(v *visit, a upstream.Answer) bool {
	body, small, err := v.conn.PeekBody(a)
	if err != nil || !small {
		return false
	}
	t.sent++
	next := balance.Try{Refusal: true, Sent: true, Replayable: t.body.replayable(), Tries: t.sent}.Next(t.spendRetry)
	if next != balance.Elsewhere {
		return false
	}
	t.refusal = &refusal{t.w.Header().Clone(), a.Status, append([]byte(nil), body...)}
	clear(t.w.Header())
	v.done(a)
	t.g.dispatch.count(func(c *counts) { c.retries++ })
	return true
}

// answerNoSlot answers a call for which there is no slot at another node.
func (t *attempt) answerNoSlot(err error) {
	switch nobody := errors.Is(err, errNoNode); {
	case t.maybeProcessedBy != nil:
		t.answerUnknown(err)
	case t.refusal != nil:
		for name, values := range t.refusal.header {
			t.w.Header()[name] = values
		}
		t.head(t.refusal.status)
		_, _ = t.w.Write(t.refusal.body) // the caller may have gone
	case t.holder != "" && nobody:
		t.answerProblem(notFound, "the node that held the connection is gone; connect again")
	case nobody:
		t.g.dispatch.count(func(c *counts) { c.noNode++ })
		fallthrough
	default:
		t.answerProblem(overloaded, err.Error()+"; nothing was stored")
	}
}

// copyResponse sends the node's response to the client. A response that is not a stream is buffered first, if there is room,
// so that the call can be retried if the node dies in the middle, and a slow client holds no slot.
func (t *attempt) copyResponse(v *visit, a upstream.Answer) (done bool) {
	switch {
	case a.Status == http.StatusSwitchingProtocols:
		t.tunnel(v.conn)
		return true
	case t.kind.Long():
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
