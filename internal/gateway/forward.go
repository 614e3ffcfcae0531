package gateway

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway/balance"
	"github.com/esh3artech/esh3ar/internal/gateway/upstream"
	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
)

// forward forwards the call to a node, retries it at other nodes as allowed, and answers.
func (x *exchange) forward() {
	if x.proves && x.who.proven { // so the connection is not closed for those of strangers while the node works
		x.markAuthenticated()
	}
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
		c := connlimit.FromContext(x.r.Context())
		c.BeginService()
		defer c.EndService()
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
	if a.Status == http.StatusServiceUnavailable && t.retryRefusal(v, a) {
		return false
	}
	if t.maybeProcessedBy != nil && (a.Status == http.StatusServiceUnavailable || a.Status == http.StatusTooManyRequests) {
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
		t.markAuthenticated()
		if t.kind.Long() && v.who != who {
			t.g.dispatch.reassign(&v.slot, who)
		}
	}
}

// markAuthenticated records that the credential of the call is valid.
func (x *exchange) markAuthenticated() {
	c := connlimit.FromContext(x.r.Context())
	if c.IsAuthenticated() {
		return
	}
	kind := connlimit.Business // a device token is recognized only by its use at a hub
	if x.kind == balance.Phone || x.kind == balance.Tunnel {
		kind = connlimit.Device
	}
	c.Authenticated(connlimit.Owner{Kind: kind, ID: strconv.FormatUint(x.credential, 36)})
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
