package gateway

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway/backend"
	"github.com/esh3artech/esh3ar/internal/gateway/balance"
)

// forward makes the call at a node, at another if it must and may, and answers.
func (x *exchange) forward() {
	if err := x.body.open(x.g, x.r, x.limit, x.keyed || x.safe); err != nil {
		x.refuseBody(err)
		return
	}
	trace(x.r.Header)
	ctx, cancel := x.context()
	defer cancel()
	t := trial{exchange: x, ctx: ctx}
	if x.body.whole {
		t.heard()
	}
	t.run()
}

// trial is a call on its way from node to node.
type trial struct {
	*exchange
	ctx      context.Context //nolint:containedctx // of the call
	deadline time.Time       // of the answer; zero: none, or the body is not here yet
	sent     int             // tries of which a byte may have reached a node
	doubt    *balance.Node   // may have done it, and nobody can tell; nil: none
	refusal  *refusal        // what a node answered that took nothing; nil: none did
}

// refusal is the answer of a node that took nothing. It is what the caller hears if no other node does better.
type refusal struct {
	header http.Header
	status int
	body   []byte
}

// heard begins the time of the answer: the body is here. From what may take longer it lifts the server's patience, which ends
// after a minute.
func (t *trial) heard() {
	t.deadline = t.patience()
	if t.within == 0 || t.within > time.Minute {
		_ = http.NewResponseController(t.w).SetReadDeadline(time.Time{}) // not every writer has deadlines; ours has
	}
}

// patience is until when a node has for what it is to do now; zero: as long as it wants.
func (t *trial) patience() time.Time {
	if t.within == 0 {
		return time.Time{}
	}
	return t.g.opts.Now().Add(t.within)
}

func (t *trial) run() {
	for {
		s, err := t.seat()
		if err != nil {
			t.noSeat(err)
			return
		}
		if t.at(s) {
			return
		}
	}
}

func (t *trial) seat() (seat, error) {
	if t.holder != "" {
		return t.seatAtHolder()
	}
	return t.g.dispatch.pick(t.ctx, t.kind, t.tried)
}

// at tries one node; done: the caller has an answer, or is gone.
func (t *trial) at(s seat) (done bool) {
	t.tried = append(t.tried, s.node)
	c, err := s.pool.Take(t.ctx)
	if err != nil {
		return t.unreached(s, err)
	}
	verdict, took := balance.Broken, time.Duration(0)
	defer func() { t.g.dispatch.end(s, verdict, took) }()
	began := t.g.opts.Now()
	deadline := t.deadline
	if deadline.IsZero() { // it is to take the body first
		deadline = t.patience()
	}
	c.Begin(t.ctx, deadline, (t.keyed || t.safe) && t.body.replayable())
	sendErr := t.send(c)
	if bad := (badBody{}); errors.As(sendErr, &bad) {
		c.Close()
		verdict = balance.Unmeasured
		t.refuseBody(bad.error)
		return true
	}
	if sendErr != nil { // a node may answer and close before it has heard all
		c.Extend(t.g.opts.Now().Add(time.Second))
	}
	a, err := c.ReadHead(t.r.Method, t.w.Header())
	took = t.g.opts.Now().Sub(began)
	if a.Status == http.StatusSwitchingProtocols && t.kind != balance.Tunnel {
		err = errUnasked
	}
	if err != nil {
		if sendErr != nil {
			err = sendErr
		}
		return t.broke(s, c, err, &verdict)
	}
	verdict = t.verdictOf(a)
	switch {
	case a.Status == http.StatusServiceUnavailable && t.refused(c, a):
		return false
	case t.doubt != nil && (a.Status == http.StatusServiceUnavailable || a.Status == http.StatusTooManyRequests):
		c.Close() // this node took nothing; another may have
		t.unknown(errRefused)
		return true
	}
	return t.passOn(s, c, a, &verdict)
}

// verdictOf is what an answer says of its node.
func (t *trial) verdictOf(a backend.Answer) balance.Verdict {
	switch {
	case a.Status >= http.StatusInternalServerError:
		return balance.Sick
	case t.measured:
		return balance.Answered
	case t.kind.Long():
		return balance.Unmeasured // it ends much later
	default:
		return balance.Heard
	}
}

// badBody marks an error of the caller's body, not of the node.
type badBody struct{ error }

// writevAbove is how long a body may be that is copied behind its head, in bytes; longer ones go out beside it.
const writevAbove = 4 << 10

// send writes the request.
func (t *trial) send(c *backend.Conn) error {
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

// stream writes a body as it comes.
func (t *trial) stream(c *backend.Conn) error {
	if _, err := c.Write(t.lines); err != nil {
		return err
	}
	chunked := t.r.ContentLength < 0
	room := make([]byte, 32<<10)
	for {
		part, err := t.body.part(t.g, room)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return badBody{err}
		}
		c.Extend(t.patience())
		if err := writePart(c, part, chunked); err != nil {
			return err
		}
	}
	t.heard()
	c.Extend(t.deadline)
	if chunked {
		_, err := c.Write([]byte("0\r\n\r\n"))
		return err
	}
	return nil
}

func writePart(c *backend.Conn, part []byte, chunked bool) error {
	if !chunked {
		_, err := c.Write(part)
		return err
	}
	if len(part) == 0 {
		return nil // a chunk without a byte would be the last
	}
	size := append(strconv.AppendInt(nil, int64(len(part)), 16), "\r\n"...)
	return c.Writev(&net.Buffers{size, part, []byte("\r\n")})
}

// unreached handles a node that could not be connected to.
func (t *trial) unreached(s seat, err error) (done bool) {
	switch {
	case t.ctx.Err() != nil:
		t.g.dispatch.end(s, balance.Unmeasured, 0)
		t.giveUp()
		return true
	case t.g.dispatch.files.lack(&t.g.opts, err):
		t.g.dispatch.end(s, balance.Unmeasured, 0)
		t.noSeat(errNoFiles)
		return true
	}
	t.g.opts.Log.Debug("node cannot be reached", "node", s.node.ID, "error", err)
	t.g.dispatch.end(s, balance.Refused, 0)
	t.g.dispatch.count(func(c *counts) { c.repeats++ })
	return false
}

// broke handles a call whose connection broke, or to which nothing came in time.
func (t *trial) broke(s seat, c *backend.Conn, err error, verdict *balance.Verdict) (done bool) {
	sent := c.Sent()
	c.Close()
	clear(t.w.Header())
	if t.ctx.Err() != nil {
		*verdict = balance.Unmeasured
		t.giveUp()
		return true
	}
	switch {
	case !sent:
		*verdict = balance.Unmeasured // an old connection had ended: that says nothing
	case !t.safe:
		t.doubt = s.node
		fallthrough
	default:
		t.sent++
	}
	next := balance.Try{
		Sent: sent, Safe: t.safe, Keyed: t.keyed, Replayable: t.body.replayable(), Tries: t.sent,
	}.Next(t.g.dispatch.spend)
	switch next {
	case balance.Elsewhere:
		t.g.dispatch.count(func(c *counts) { c.repeats++ })
		return false
	case balance.Unavailable:
		t.g.opts.Log.Warn("call failed", "node", s.node.ID, "method", t.r.Method, "path", t.r.URL.Path, "error", err)
		t.refuse(overloaded, "the node did not answer; try again later")
	case balance.Unknown, balance.PassOn:
		t.unknown(err)
	}
	return true
}

// giveUp ends a call whose caller has gone, or a stream that ends with the gateway before it began. Without a word net/http
// would answer 200, and a caller who has ended only his side of the connection would hear it.
func (t *trial) giveUp() {
	if t.r.Context().Err() != nil {
		panic(http.ErrAbortHandler)
	}
	t.refuse(overloaded, "this gateway is stopping")
}

// errUnasked is an answer that nobody asked for.
var errUnasked = errors.New("the node switches to another protocol, unasked")

// errRefused is the last word of a node that took nothing.
var errRefused = errors.New("the node that was tried last took nothing")

// unknown answers a call that a node may have done. err is why nobody can tell.
func (t *trial) unknown(err error) {
	t.g.dispatch.count(func(c *counts) { c.unknown++ })
	t.g.opts.Log.Warn("outcome of a call is unknown", "node", t.doubt.ID, "method", t.r.Method, "path", t.r.URL.Path,
		"traceparent", t.r.Header.Get("Traceparent"), "error", err)
	t.refuse(outcomeUnknown, t.whatNow())
}

// whatNow tells a caller whose call may have been done how to go on.
func (t *trial) whatNow() string {
	if t.keyed {
		return "the node did not answer, and the call could not be repeated elsewhere; send it again with the same idempotency key"
	}
	return "the node did not answer, and the call may have been done; sent again it may be done twice, which an idempotency key prevents"
}

// refused keeps a refusal and tells whether the call may be tried elsewhere.
func (t *trial) refused(c *backend.Conn, a backend.Answer) bool {
	body, small, err := c.Small(a)
	if err != nil || !small {
		return false
	}
	t.sent++
	next := balance.Try{Refusal: true, Sent: true, Replayable: t.body.replayable(), Tries: t.sent}.Next(t.g.dispatch.spend)
	if next != balance.Elsewhere {
		return false
	}
	t.refusal = &refusal{t.w.Header().Clone(), a.Status, append([]byte(nil), body...)}
	clear(t.w.Header())
	c.Done(a)
	t.g.dispatch.count(func(c *counts) { c.repeats++ })
	return true
}

// noSeat answers a call that has no node to go to.
func (t *trial) noSeat(err error) {
	switch nobody := errors.Is(err, errNobody); {
	case t.doubt != nil:
		t.unknown(err)
	case t.refusal != nil:
		for name, values := range t.refusal.header {
			t.w.Header()[name] = values
		}
		t.head(t.refusal.status)
		_, _ = t.w.Write(t.refusal.body) // the caller may have gone
	case t.holder != "" && nobody:
		t.refuse(notFound, "the node that held the connection is gone; connect again")
	case nobody:
		t.g.dispatch.count(func(c *counts) { c.nobody++ })
		fallthrough
	default:
		t.refuse(overloaded, err.Error()+"; nothing was taken")
	}
}

// passOn gives the caller the node's answer. A short one is read whole before, so that a node that dies in the middle of it
// costs nothing; a long one that breaks off must break off for the caller too.
func (t *trial) passOn(s seat, c *backend.Conn, a backend.Answer, verdict *balance.Verdict) (done bool) {
	if a.Status == http.StatusSwitchingProtocols {
		t.tunnel(c)
		return true
	}
	body, small, err := c.Small(a)
	if err != nil {
		return t.broke(s, c, err, verdict)
	}
	if small {
		t.head(a.Status)
		_, _ = t.w.Write(body) // the caller may have gone
		c.Done(a)
		return true
	}
	p := paced{t, c, http.NewResponseController(t.w), a.Length < 0 || t.kind != balance.Call}
	switch err := p.pass(a); {
	case err == nil:
		c.Done(a)
	case backend.IsCaller(err) || t.ctx.Err() != nil:
		c.Close()
		t.cutOff()
	default:
		c.Close()
		*verdict = balance.Broken
		t.cutOff()
	}
	return true
}

// cutOff ends half an answer so that it does not look like a whole one. The stream of a gateway that stops ends as a node's
// would.
func (t *trial) cutOff() {
	if t.g.ended.Err() != nil && t.kind == balance.Stream {
		return
	}
	panic(http.ErrAbortHandler)
}
