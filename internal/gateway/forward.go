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

// forward makes the call at a node, at another if it must and may, and answers.
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
			x.refuse(overloaded, err.Error()+"; nothing was taken")
			return
		}
	}
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
	return t.g.dispatch.pick(t.ctx, t.who, t.kind, t.tried)
}

// visit is a try at one node: a slot, a connection, and what they showed of the node. It ends once.
type visit struct {
	seat
	conn    *upstream.Conn // nil: it was given back
	verdict balance.Verdict
	took    time.Duration
	ended   bool
}

// done gives the connection back: the answer was read to its end.
func (v *visit) done(a upstream.Answer) {
	v.conn.Done(a)
	v.conn = nil
}

// leave gives the slot back. A connection that the call was not done with is closed: its answer was not read to its end.
func (t *trial) leave(v *visit) {
	if v.conn != nil {
		v.conn.Close()
	}
	if !v.ended {
		v.ended = true
		t.g.dispatch.end(v.seat, v.verdict, v.took)
	}
}

// at tries one node; done: the caller has an answer, or is gone.
func (t *trial) at(s seat) (done bool) {
	t.tried = append(t.tried, s.node)
	c, err := s.pool.Take(t.ctx)
	if err != nil {
		return t.unreached(s, err)
	}
	v := &visit{seat: s, conn: c, verdict: balance.Broken}
	defer t.leave(v)
	began := t.g.opts.Now()
	deadline := t.deadline
	if deadline.IsZero() { // it is to take the body first
		deadline = t.patience()
	}
	c.Begin(t.ctx, deadline, (t.keyed || t.safe) && t.body.replayable())
	sendErr := t.send(c)
	if bad := (badBody{}); errors.As(sendErr, &bad) {
		c.Close()
		v.verdict = balance.Unmeasured
		t.refuseBody(bad.error)
		return true
	}
	if sendErr != nil { // a node may answer and close before it has heard all
		c.Extend(t.g.opts.Now().Add(time.Second))
	} else if t.kind == balance.Stream {
		c.Extend(t.g.opts.Now().Add(t.g.opts.StreamWithin))
	}
	a, err := c.ReadHead(t.r.Method, t.w.Header())
	v.took = t.g.opts.Now().Sub(began)
	if a.Status == http.StatusSwitchingProtocols && t.kind != balance.Tunnel {
		err = errUnasked
	}
	if err != nil {
		if sendErr != nil && !errors.Is(sendErr, upstream.ErrEarly) {
			err = sendErr
		}
		return t.broke(v, err)
	}
	v.verdict = t.verdictOf(a)
	t.learn(v, a)
	switch {
	case a.Status == http.StatusServiceUnavailable && t.refused(v, a):
		return false
	case t.doubt != nil && (a.Status == http.StatusServiceUnavailable || a.Status == http.StatusTooManyRequests):
		c.Close() // this node took nothing; another may have
		t.unknown(errRefused)
		return true
	}
	return t.passOn(v, a)
}

// learn takes what an answer says of the caller's credential. What goes on for long counts for its owner from now on.
func (t *trial) learn(v *visit, a upstream.Answer) {
	switch {
	case t.credential == 0:
	case a.Status == http.StatusUnauthorized && t.proves:
		t.g.owners.refused(t.credential)
	case t.proves && (a.Status < 300):
		who := t.g.owners.accepted(t.credential, t.start)
		if c := connlimit.FromContext(t.r.Context()); !c.IsAuthenticated() {
			kind := connlimit.Business // that a device's token is meant says only its use at a hub
			if t.kind == balance.Phone || t.kind == balance.Tunnel {
				kind = connlimit.Device
			}
			c.Authenticated(connlimit.Owner{Kind: kind, ID: strconv.FormatUint(t.credential, 36)})
		}
		if t.kind.Long() && v.who != who {
			t.g.dispatch.belongs(&v.seat, who)
		}
	}
}

// verdictOf is what an answer says of its node.
func (t *trial) verdictOf(a upstream.Answer) balance.Verdict {
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
func (t *trial) send(c *upstream.Conn) error {
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

// stream writes a body as it comes. A node that answers before all of it is there has decided: the rest is not waited for.
func (t *trial) stream(c *upstream.Conn) error {
	if _, err := c.Write(t.lines); err != nil {
		return err
	}
	control := http.NewResponseController(t.w)
	early := c.Listen(func() { _ = control.SetReadDeadline(longAgo) }, t.g.contain) // a caller that cannot be interrupted has the server's patience
	defer early.Stop()
	c.ExtendWrite(t.patience())
	chunked := t.r.ContentLength < 0
	room := make([]byte, 32<<10)
	for {
		part, err := t.body.part(t.g, room)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && early.Stop() {
			c.Cut()
			return upstream.ErrEarly
		}
		if err != nil {
			return badBody{err}
		}
		c.ExtendWrite(t.patience())
		if err := writePart(c, part, chunked); err != nil {
			return err
		}
	}
	early.Stop()
	t.heard()
	c.Extend(t.deadline)
	if chunked {
		_, err := c.Write([]byte("0\r\n\r\n"))
		return err
	}
	return nil
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

func writePart(c *upstream.Conn, part []byte, chunked bool) error {
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
func (t *trial) broke(v *visit, err error) (done bool) {
	sent := v.conn.Sent()
	v.conn.Close()
	clear(t.w.Header())
	t.answer.release(t.g)
	if t.ctx.Err() != nil {
		v.verdict = balance.Unmeasured
		t.giveUp()
		return true
	}
	switch {
	case !sent:
		v.verdict = balance.Unmeasured // an old connection had ended: that says nothing
	case !t.safe:
		t.doubt = v.node
		fallthrough
	default:
		t.sent++
	}
	next := balance.Try{
		Sent: sent, Safe: t.safe, Keyed: t.keyed, Replayable: t.body.replayable(), Tries: t.sent,
	}.Next(t.spend)
	switch next {
	case balance.Elsewhere:
		t.g.dispatch.count(func(c *counts) { c.repeats++ })
		return false
	case balance.Unavailable:
		t.g.opts.Log.Warn("call failed", "node", v.node.ID, "method", t.r.Method, "path", t.r.URL.Path, "error", err)
		t.refuse(overloaded, "the node did not answer; try again later")
	case balance.Unknown, balance.PassOn:
		t.unknown(err)
	}
	return true
}

func (t *trial) spend() bool { return t.g.dispatch.spend(t.who) }

// giveUp ends a call whose caller has gone, or a stream that ends with the gateway before it began. Without a word net/http
// would answer 200.
func (t *trial) giveUp() {
	if t.r.ProtoMajor > 1 && t.r.Context().Err() != nil {
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
func (t *trial) refused(v *visit, a upstream.Answer) bool {
	body, small, err := v.conn.Small(a)
	if err != nil || !small {
		return false
	}
	t.sent++
	next := balance.Try{Refusal: true, Sent: true, Replayable: t.body.replayable(), Tries: t.sent}.Next(t.spend)
	if next != balance.Elsewhere {
		return false
	}
	t.refusal = &refusal{t.w.Header().Clone(), a.Status, append([]byte(nil), body...)}
	clear(t.w.Header())
	v.done(a)
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

// passOn gives the caller the node's answer. One that is not a stream is read whole before, as far as there is room for it: then a node
// that dies in the middle of it costs nothing, and a caller that reads slowly holds no slot.
func (t *trial) passOn(v *visit, a upstream.Answer) (done bool) {
	switch {
	case a.Status == http.StatusSwitchingProtocols:
		t.tunnel(v.conn)
		return true
	case t.kind.Long():
		return t.passParts(v, a)
	}
	v.conn.Extend(t.patience())
	switch err := v.conn.Copy(keeper{t.exchange}, a); {
	case err == nil:
		v.done(a)
		t.leave(v)
		t.passKept(a.Status)
		return true
	case !errors.Is(err, errNotKept):
		return t.broke(v, err)
	case t.page || len(t.answer.bytes) < mostKept/2 && t.safe: // for want of memory, and nothing was done
		v.conn.Close()
		t.leave(v)
		t.refuse(overloaded, "this caller has its share of long answers under way")
		return true
	}
	return t.passParts(v, a)
}

// passParts passes an answer on as it comes, after what was kept of it. One that breaks off must break off for the caller too.
func (t *trial) passParts(v *visit, a upstream.Answer) (done bool) {
	p := &paced{trial: t, conn: v.conn, control: http.NewResponseController(t.w), stream: t.kind.Long(), began: t.g.opts.Now()}
	switch err := p.pass(a); {
	case err == nil:
		v.done(a)
	case upstream.IsCaller(err) || t.ctx.Err() != nil:
		v.conn.Close()
		t.cutOff()
	default:
		v.conn.Close()
		v.verdict = balance.Broken
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
