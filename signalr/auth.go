package signalr

import (
	"errors"
	"net/http"
	"strings"
)

// BearerToken returns the bearer token of the Authorization header or, because browsers cannot set headers on WebSockets,
// of the access_token query parameter. It returns "" if there is no token, or if the token is ambiguous: several
// Authorization headers, or different tokens. The scheme is matched case-insensitively and followed by one or more spaces
// (RFC 9110, section 11.4). A header of another scheme is ignored if there is a query parameter. Do not write the query to
// access logs.
func BearerToken(r *http.Request) string {
	headers := r.Header["Authorization"]
	if len(headers) > 1 {
		return ""
	}
	token := ""
	if len(headers) == 1 {
		token = bearerOf(headers[0])
	}
	for key, values := range r.URL.Query() {
		if !strings.EqualFold(key, "access_token") {
			continue
		}
		for _, value := range values {
			switch {
			case value == token || value == "":
			case token != "":
				return ""
			case !isToken(value):
				return ""
			default:
				token = value
			}
		}
	}
	return token
}

// bearerOf returns the bearer token of an Authorization header, "" if it has none.
func bearerOf(header string) string {
	const scheme = "Bearer"
	header = strings.Trim(header, " \t")
	if len(header) <= len(scheme) || !strings.EqualFold(header[:len(scheme)], scheme) || header[len(scheme)] != ' ' {
		return ""
	}
	if token := strings.TrimLeft(header[len(scheme):], " "); isToken(token) {
		return token
	}
	return ""
}

// isToken reports whether s is not empty and consists of visible ASCII characters.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// ErrUnavailable is wrapped by an error of [Options].Authenticate if the user cannot be determined at the moment. The client
// is answered 503 with Retry-After instead of 401.
var ErrUnavailable = errors.New("signalr: users cannot be told now")

// authenticate returns the identity of a request's user. If it returns false, it has answered 401, or 503 for
// ErrUnavailable. The body is empty, because JavaScript clients show a body instead of the status text.
func (s *Server) authenticate(w http.ResponseWriter, r *http.Request) (Identity, bool) {
	if s.opts.Authenticate == nil {
		return Identity{}, true
	}
	who, err := s.opts.Authenticate(r)
	if errors.Is(err, ErrUnavailable) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		return Identity{}, false
	}
	if err != nil {
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(http.StatusUnauthorized)
		return Identity{}, false
	}
	return who, true
}

// query returns the first value of a query parameter, "" if there is none. Its name is matched case-insensitively.
func query(r *http.Request, name string) string {
	for key, values := range r.URL.Query() {
		if strings.EqualFold(key, name) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}
