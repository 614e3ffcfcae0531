package signalr

import (
	"errors"
	"net/http"
	"strings"
)

// BearerToken returns the token of the Authorization header or, as browsers cannot set headers on WebSockets, of the
// access_token query parameter. It returns "" where there is none, and where it is not clear which one counts: with several
// Authorization headers, or with different tokens. The scheme is matched without regard to case; one or more spaces follow
// it (RFC 9110, section 11.4). A header of another scheme does not count beside the parameter. Keep the query out of access
// logs.
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

// bearerOf returns the token of an Authorization header, "" if it is not a bearer's.
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

// isToken reports whether s is one word of visible ASCII.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// ErrUnavailable, wrapped by an error of [Options].Authenticate, says that nobody can tell now who it is: the client is asked
// to come again, and not told that it may not come.
var ErrUnavailable = errors.New("signalr: users cannot be told now")

// authenticate names the user of a request, or answers 401, or 503 where that is not known. The body stays empty: JavaScript
// clients show a body instead of the status text.
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

// query returns a query parameter whose name is matched whatever the case of its letters.
func query(r *http.Request, name string) string {
	for key, values := range r.URL.Query() {
		if strings.EqualFold(key, name) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}
