package httpapi

import (
	"errors"
	"strconv"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ratelimit"
)

// Names of headers as net/http spells them.
const (
	policyHeader = "Ratelimit-Policy"
	limitHeader  = "Ratelimit"
)

// limits are what the plan of a caller says of one call.
type limits struct {
	account  *ratelimit.Account // nil: nobody's call
	entered  bool
	taken    int             // messages that were asked for
	accepted int             // and are in the store now
	grant    ratelimit.Grant // after taking
}

// enter begins a business's call, unless its plan has too many under way.
func (x *exchange) enter() error {
	l := &x.limits
	l.account = x.api.Quotas.Of(x.caller.Business, x.caller.Plan)
	err := l.account.Enter()
	l.entered = err == nil
	return err
}

// leave ends the call.
func (l *limits) leave() {
	if l.entered {
		l.account.Leave(l.taken, l.accepted)
	}
	*l = limits{}
}

// take takes n messages from the caller's plan.
func (x *exchange) take(n int) (err error) {
	l := &x.limits
	if l.grant, err = l.account.Take(x.r.Context(), x.start, n); err == nil {
		l.taken = n
	}
	return err
}

// takeRecipients holds the messages of a call to what the plan allows for each of their recipients.
func (x *exchange) takeRecipients(messages []*esh3ar.Message) error {
	if x.api.Recipients == nil {
		return nil
	}
	err := x.api.Recipients.Take(x.r.Context(), x.limits.account.Plan(), x.caller.Business, messages)
	refusal, ok := errors.AsType[*ratelimit.RecipientError](err)
	switch {
	case !ok:
		return err
	case refusal.Never:
		x.in.note(place{name: "/messages"}, validationFailed, refusal.Text)
		return x.in.faults.problem()
	}
	k := recipientRate
	if refusal.Full {
		k = inboxFull
	}
	p := k.problem(refusal.Text)
	p.retryAfter = refusal.RetryAfter
	return p
}

// replay answers a call whose idempotency key is known, before anything is taken from the plan: that call was paid for. It
// reports whether it was answered. A business that repeats calls faster than its plan lets it send new ones is refused.
func (x *exchange) replay(key *esh3ar.IdempotencyKey) (answer esh3ar.Answer, known bool, err error) {
	if key == nil {
		return answer, false, nil
	}
	if err := x.limits.account.Repeats(x.start, 0); err != nil {
		return answer, false, err
	}
	answer, known, err = x.api.Known(x.r.Context(), x.caller.Business, key)
	if err != nil || !known {
		return answer, false, err
	}
	x.limits.grant = x.limits.account.Look(x.start)
	if err := x.limits.account.Repeats(x.start, 1); err != nil {
		return answer, false, err
	}
	return answer, true, nil
}

// takeBatch takes the messages of a batch. One that is larger than the burst could never be taken, however long its caller
// waits: that is a fault of the call.
func (x *exchange) takeBatch(messages []*esh3ar.Message) error {
	if burst := x.limits.account.Plan().Burst; len(messages) > burst {
		x.in.note(place{name: "/messages"}, validationFailed, "must have at most "+strconv.Itoa(burst)+" messages, as many as the plan lets through at once")
		return x.in.faults.problem()
	}
	return x.take(len(messages))
}

// showLimits sets the headers of draft-ietf-httpapi-ratelimit-headers on what a business is answered; the hot call writes its
// own.
func (x *exchange) showLimits() {
	l := &x.limits
	if l.account == nil {
		return
	}
	grant := l.grant
	if l.taken == 0 {
		grant = l.account.Look(x.start)
	}
	h := x.w.Header()
	h[policyHeader] = l.account.Policy()
	h[limitHeader] = []string{string(grant.AppendLimits(nil))}
}
