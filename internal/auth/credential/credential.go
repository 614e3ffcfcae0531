// Package credential reads the bearer token of a request: one reader for the REST API, the administration, the event
// stream and the hubs, so that a request means the same to all of them. It does not know whether a token is good. All its
// functions are pure.
package credential

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// The reasons why a request has no token.
var (
	ErrNone      = errors.New("send the header `Authorization: Bearer` with the API key or admin token")
	ErrSeveral   = errors.New("send one credential: there are several Authorization headers or different tokens")
	ErrMalformed = errors.New("the header Authorization must be `Bearer`, a space, and the API key or admin token")
)

// Header returns the token of the values of the Authorization header. The scheme is matched without regard to case, one or
// more spaces follow it (RFC 9110, section 11.4), and the token holds visible ASCII only. Spaces and tabs around the value are
// not part of it (RFC 9110, section 5.5).
func Header(values []string) (string, error) {
	switch {
	case len(values) == 0:
		return "", ErrNone
	case len(values) > 1:
		return "", ErrSeveral
	}
	const scheme = "Bearer"
	value := strings.Trim(values[0], " \t")
	if len(value) <= len(scheme) || !strings.EqualFold(value[:len(scheme)], scheme) || value[len(scheme)] != ' ' {
		return "", ErrMalformed
	}
	token := strings.TrimLeft(value[len(scheme):], " ")
	if !visible(token) {
		return "", ErrMalformed
	}
	return token, nil
}

// HeaderOrQuery is Header for requests that browsers make for EventSource and WebSocket, which have no header: their token may be
// in the query parameter access_token. Where both are there they must be equal (RFC 6750, section 2: one method for each
// request). A header of another scheme, such as one for a proxy in front, does not count beside the parameter.
func HeaderOrQuery(r *http.Request) (string, error) {
	header, headerErr := Header(r.Header["Authorization"])
	parameter, err := query(r.URL.RawQuery)
	switch {
	case err != nil:
		return "", err
	case errors.Is(headerErr, ErrSeveral) || parameter == "":
		return header, headerErr
	case headerErr != nil:
		return parameter, nil
	case header != parameter:
		return "", ErrSeveral
	}
	return header, nil
}

// query returns the access_token of a query string, "" if it has none. As in ASP.NET Core, the case of the name is no matter.
func query(raw string) (token string, err error) {
	if raw == "" {
		return "", nil
	}
	values, _ := url.ParseQuery(raw) // what cannot be read is left out; the caller's other parameters are its own matter
	for name, list := range values {
		if !strings.EqualFold(name, "access_token") {
			continue
		}
		for _, value := range list {
			switch {
			case value == token || value == "":
			case token != "":
				return "", ErrSeveral
			case !visible(value):
				return "", ErrMalformed
			default:
				token = value
			}
		}
	}
	return token, nil
}

// visible reports whether a token is one word of visible ASCII.
func visible(token string) bool {
	for i := range len(token) {
		if token[i] <= ' ' || token[i] > '~' {
			return false
		}
	}
	return token != ""
}
