package httpapi

import (
	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth/credential"
	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
)

// credential returns the token of a request.
func (x *exchange) credential() (string, error) {
	token, err := credential.Header(x.r.Header["Authorization"])
	if x.queryToken {
		token, err = credential.HeaderOrQuery(x.r)
	}
	if err != nil {
		return "", unauthenticated.problem(err.Error())
	}
	return token, nil
}

// requireBusiness returns a handler that calls h for requests with a valid API key, within the limits of the caller's plan.
// A valid credential of another kind is answered forbidden with a detail that names it: unauthenticated would send its
// owner looking in the wrong place.
func (a *API) requireBusiness(h handler) handler {
	return a.requireBusinessOn((*exchange).beginCall, h)
}

// requireSender is requireBusiness for the calls that take an idempotency key. A call with a key counts among the concurrent
// calls of its business after its key was looked up: the stored answer does not depend on other calls.
func (a *API) requireSender(h handler) handler {
	return a.requireBusinessOn(func(x *exchange) error {
		if len(x.r.Header["Idempotency-Key"]) > 0 {
			x.openAccount()
			return nil
		}
		return x.beginCall()
	}, h)
}

func (a *API) requireBusinessOn(begin func(*exchange) error, h handler) handler {
	return func(x *exchange) error {
		token, err := x.credential()
		if err != nil {
			return err
		}
		x.caller, err = a.Keys.Authenticate(x.r.Context(), token)
		if err == nil {
			if c := connlimit.FromContext(x.r.Context()); !c.IsAuthenticated() {
				c.Authenticated(connlimit.Owner{Kind: connlimit.Business, ID: x.caller.Business.String()})
			}
			if err := begin(x); err != nil {
				return err
			}
			if err := x.noParameters(); err != nil {
				return err
			}
			return h(x)
		}
		if a.Admin.Is(token) {
			return forbidden.problem("this is the admin token; this call requires an API key")
		}
		if _, bad := a.Tokens.Verify(token); bad == nil {
			return forbidden.problem("this is a device token; this call requires an API key")
		}
		return err
	}
}

// requireAdmin returns a handler that calls h for requests with the admin token. A valid credential of another kind is
// answered forbidden.
func (a *API) requireAdmin(h handler) handler {
	return a.requireAdminToken(func(x *exchange) error {
		if err := x.noParameters(); err != nil {
			return err
		}
		return h(x)
	})
}

// requireAdminToken is requireAdmin for a handler that reads parameters of its own.
func (a *API) requireAdminToken(h handler) handler {
	return func(x *exchange) error {
		token, err := x.credential()
		if err != nil {
			return err
		}
		if a.Admin.Is(token) {
			connlimit.Authenticated(x.r.Context(), connlimit.Owner{Kind: connlimit.Operator})
			return h(x)
		}
		if _, bad := a.Tokens.Verify(token); bad == nil {
			return forbidden.problem("this is a device token; this call requires the admin token")
		}
		_, err = a.Keys.Authenticate(x.r.Context(), token)
		switch {
		case err == nil:
			return forbidden.problem("this is an API key; this call requires the admin token")
		case esh3ar.CodeOf(err) == esh3ar.Unauthenticated, esh3ar.CodeOf(err) == esh3ar.RateLimited:
			return unauthenticated.problem("this is not the admin token")
		default:
			return err
		}
	}
}
