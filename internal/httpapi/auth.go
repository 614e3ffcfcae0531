package httpapi

import (
	"strings"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/connlimit"
)

const bearer = "Bearer "

// credential finds the token of a request.
func (x *exchange) credential() (string, error) {
	values := x.r.Header["Authorization"]
	if len(values) != 1 {
		return "", unauthenticated.problem("send one header `Authorization: Bearer` with the API key or admin token")
	}
	h := values[0]
	if len(h) <= len(bearer) || !strings.EqualFold(h[:len(bearer)], bearer) {
		return "", unauthenticated.problem("the header Authorization must be `Bearer` and the API key or admin token")
	}
	return h[len(bearer):], nil
}

// business lets businesses in. A good credential of another kind is told so: to hear "unauthenticated" with it would send
// its owner looking in the wrong place.
func (a *API) business(h handler) handler {
	return func(x *exchange) error {
		token, err := x.credential()
		if err != nil {
			return err
		}
		if x.caller, err = a.Keys.Authenticate(x.r.Context(), token); err == nil {
			if c := connlimit.FromContext(x.r.Context()); !c.IsAuthenticated() {
				c.Authenticated(connlimit.Owner{Kind: connlimit.Business, ID: x.caller.Business.String()})
			}
			if err := x.enter(); err != nil {
				return err
			}
			return h(x)
		}
		if a.Admin.Is(token) {
			return forbidden.problem("this is the admin token; the call wants an API key")
		}
		if _, bad := a.Tokens.Verify(token); bad == nil {
			return forbidden.problem("this is a phone's token; the call wants an API key")
		}
		return err
	}
}

// admin lets the administrator in.
func (a *API) admin(h handler) handler {
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
			return forbidden.problem("this is a phone's token; the call wants the admin token")
		}
		_, err = a.Keys.Authenticate(x.r.Context(), token)
		switch {
		case err == nil:
			return forbidden.problem("this is an API key; the call wants the admin token")
		case esh3ar.CodeOf(err) == esh3ar.Unauthenticated:
			return unauthenticated.problem("this is not the admin token")
		default:
			return err
		}
	}
}
