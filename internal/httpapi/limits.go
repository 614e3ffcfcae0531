package httpapi

import (
	"strconv"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/quota"
)

// Names of headers as net/http spells them.
const (
	policyHeader = "Ratelimit-Policy"
	limitHeader  = "Ratelimit"
)

// limits are what the plan of a caller says of one call.
type limits struct {
	account  *quota.Account // nil: nobody's call
	entered  bool
	taken    int         // messages that were asked for
	accepted int         // and are in the store now
	grant    quota.Grant // after taking
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
