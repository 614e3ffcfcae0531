package signalr

import (
	"net/http"
	"strings"
)

// MatchPath reports whether a request path belongs to the hub at a path: the path of its connections, or "negotiate" below it. It
// matches as the routes of ASP.NET Core do: the case of ASCII letters and one trailing slash make no difference.
func MatchPath(path, hub string) (negotiate, ok bool) {
	base, negotiate := CutNegotiate(path)
	return negotiate, equalFold(base, strings.TrimSuffix(hub, "/"))
}

// CutNegotiate returns the path of the hub that a request path belongs to, without a trailing slash, and reports whether the path is
// that of negotiation, whose last segment is "negotiate". It matches as [MatchPath] does.
func CutNegotiate(path string) (hub string, negotiate bool) {
	const last = "negotiate"
	path = strings.TrimSuffix(path, "/")
	start := len(path) - len(last)
	if start < 0 || !equalFold(path[start:], last) || start > 0 && path[start-1] != '/' {
		return path, false
	}
	return path[:max(0, start-1)], true
}

// equalFold reports whether two texts differ in the case of ASCII letters at most. [strings.EqualFold] would take "ſ" for "s".
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + ('a' - 'A')
	}
	return c
}

// Handler returns a handler that serves the hub at a path as ASP.NET Core does, see [MatchPath], and has next answer every other
// request; a nil next answers 404. A [http.ServeMux] distinguishes case, so this is the choice where clients of an ASP.NET Core server
// keep their URLs.
func (s *Server) Handler(path string, next http.Handler) http.Handler {
	if next == nil {
		next = http.NotFoundHandler()
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := MatchPath(r.URL.Path, path); ok {
			s.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Mount registers the server for a hub's path on a mux, with and without a trailing slash, without redirects. The mux distinguishes
// upper and lower case; see [Server.Handler].
func (s *Server) Mount(mux *http.ServeMux, path string) {
	path = strings.TrimSuffix(path, "/")
	mux.Handle(path+"/{$}", s)
	mux.Handle(path+"/negotiate", s)
	mux.Handle(path+"/negotiate/{$}", s)
	if path != "" {
		mux.Handle(path, s)
	}
}
