package gateway

import (
	"errors"
	"net/http"

	"github.com/esh3artech/esh3ar/internal/gateway/balance"
	"github.com/esh3artech/esh3ar/internal/gateway/upstream"
)

// refusal is the 503 of a node that stored nothing. It is sent to the client if no other node answers better.
type refusal struct {
	header http.Header
	status int
	body   []byte
}

// onDialError handles a failed connection to a node.
func (t *attempt) onDialError(s slot, err error) (done bool) {
	if t.ctx.Err() != nil {
		t.g.dispatch.release(s, balance.Unmeasured, 0)
		t.abandon()
		return true
	}
	if t.g.dispatch.files.isExhausted(&t.g.opts, err) {
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
