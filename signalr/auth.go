package signalr

import (
	"errors"
	"net/http"
	"strings"
)

// BearerToken returns the token of the Authorization header or, as browsers cannot set headers on WebSockets, of the
// access_token query parameter. It returns "" when there is none. Keep the query out of access logs.
func BearerToken(r *http.Request) string {
	const scheme = "bearer "
	if h := r.Header.Get("Authorization"); len(h) > len(scheme) && strings.EqualFold(h[:len(scheme)], scheme) {
		return strings.TrimSpace(h[len(scheme):])
	}
	return query(r, "access_token")
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
