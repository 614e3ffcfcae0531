// Package credential reads the bearer token of a request. The REST API, the administration API, the event stream and the
// hubs share it, so that a request means the same to all of them. The package does not check whether a token is valid. All
// functions are pure.
package credential

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// Reasons why a request has no usable token.
var (
	ErrNone      = errors.New("send the header `Authorization: Bearer` with the API key or admin token")
	ErrSeveral   = errors.New("send one credential: there are several Authorization headers or different tokens")
	ErrMalformed = errors.New("the header Authorization must be `Bearer`, a space, and the API key or admin token")
)

// Header returns the token from the values of the Authorization header. The scheme is case-insensitive and followed by one
// or more spaces (RFC 9110, section 11.4). The token consists of visible ASCII characters. Spaces and tabs around the value
// are ignored (RFC 9110, section 5.5).
func Header(values []string) (string, error) {
	if len(values) == 0 {
		return "", ErrNone
	}
	if len(values) > 1 {
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

// HeaderOrQuery is Header for requests that browsers send for EventSource and WebSocket, which cannot set headers: their
// token may be in the query parameter access_token. If both are present, they must be equal (RFC 6750, section 2: one method
// per request). A header with another scheme, for example for a proxy, is ignored if the parameter is present.
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

// query returns the access_token of a query string, or "" if there is none. As in ASP.NET Core, the name is
// case-insensitive.
func query(raw string) (token string, err error) {
	if raw == "" {
		return "", nil
	}
	values, _ := url.ParseQuery(raw) // malformed pairs are skipped: other parameters are not our concern
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

// visible reports whether token is not empty and contains visible ASCII characters only.
func visible(token string) bool {
	for i := range len(token) {
		if token[i] <= ' ' || token[i] > '~' {
			return false
		}
	}
	return token != ""
}
