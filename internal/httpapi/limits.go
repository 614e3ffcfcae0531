package httpapi

import (
	"errors"
	"strconv"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ratelimit"
)

// Names of headers in the canonical form of net/http.
const (
	policyHeader = "Ratelimit-Policy"
	limitHeader  = "Ratelimit"
)

// limits is the state of one call under the limits of its caller's plan.
type limits struct {
	account  *ratelimit.Limiter // nil on routes without API key
	entered  bool               // account.Enter succeeded, so Leave is due
	taken    int                // messages counted against the quota
	accepted int                // messages of them that are stored
	grant    ratelimit.Grant    // quota left after taking
}

// openAccount finds the account of a call's business.
func (x *exchange) openAccount() {
	x.limits.account = x.api.Quotas.For(x.caller.Business, x.caller.Plan)
}

// beginCall starts a call of a business. It returns an error if the business has reached the concurrent calls of its plan.
func (x *exchange) beginCall() error {
	x.openAccount()
	l := &x.limits
	err := l.account.Enter()
	l.entered = err == nil
	return err
}

// endCall ends the call and reports its messages to the account.
func (l *limits) endCall() {
	if l.entered {
		l.account.Leave(l.taken, l.accepted)
	}
	*l = limits{}
}

// takeQuota takes n messages from the quota of the caller's plan.
func (x *exchange) takeQuota(n int) error {
	var err error
	l := &x.limits
	l.grant, err = l.account.Take(x.r.Context(), x.start, n)
	if err == nil {
		l.taken = n
	}
	return err
}

// takeRecipientQuota checks the messages of a call against the plan's limits per recipient.
func (x *exchange) takeRecipientQuota(messages []*esh3ar.Message) error {
	if x.api.Recipients == nil {
		return nil
	}
	err := x.api.Recipients.Take(x.r.Context(), x.limits.account.Plan(), x.caller.Business, messages)
	refusal, ok := errors.AsType[*ratelimit.RecipientError](err)
	if !ok {
		return err
	}
	if refusal.Never {
		x.in.add(jsonPath{name: "/messages"}, validationFailed, refusal.Text)
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

// storedAnswer returns the stored answer of an idempotency key and reports whether there is one. It runs before the quota is
// taken, because the original call was counted already. A separate limit on such repeats keeps a business from repeating
// calls without bound. A call without a stored answer has begun when it returns.
func (x *exchange) storedAnswer(key *esh3ar.IdempotencyKey) (answer esh3ar.Answer, known bool, err error) {
	if key == nil {
		return answer, false, nil
	}
	if err := x.limits.account.Repeats(x.start, 0); err != nil {
		return answer, false, err
	}
	answer, known, err = x.api.LookupKey(x.r.Context(), x.caller.Business, key)
	if err != nil {
		return answer, false, err
	}
	if !known {
		err = x.beginCall()
		if err != nil { // the look-up was not free: it counts as a repeat, whether that is refused or not
			_ = x.limits.account.Repeats(x.start, 1)
		}
		return answer, false, err
	}
	x.limits.grant = x.limits.account.Peek(x.start)
	if err := x.limits.account.Repeats(x.start, 1); err != nil {
		return answer, false, err
	}
	return answer, true, nil
}

// takeBatchQuota takes the messages of a batch from the quota. A batch larger than the plan's burst could never be
// accepted, so it is a validation fault and not rate_limited.
func (x *exchange) takeBatchQuota(messages []*esh3ar.Message) error {
	if burst := x.limits.account.Plan().Burst; len(messages) > burst {
		x.in.add(jsonPath{name: "/messages"}, validationFailed, "must have at most "+strconv.Itoa(burst)+" messages, as many as the plan lets through at once")
		return x.in.faults.problem()
	}
	return x.takeQuota(len(messages))
}

// showLimits sets the headers of draft-ietf-httpapi-ratelimit-headers on a response to a business. POST /v1/messages, the
// hot path, sets them itself.
func (x *exchange) showLimits() {
	l := &x.limits
	if l.account == nil {
		return
	}
	grant := l.grant
	if l.taken == 0 {
		grant = l.account.Peek(x.start)
	}
	h := x.w.Header()
	h[policyHeader] = l.account.Policy()
	h[limitHeader] = []string{string(grant.AppendLimits(nil))}
}
