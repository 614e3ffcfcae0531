package signalr

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// AllowOrigins returns a function for Options.AllowOrigin that allows exactly these origins, such as "https://app.example",
// and the server's own origin.
func AllowOrigins(origins ...string) func(*http.Request, string) bool {
	return func(r *http.Request, origin string) bool {
		return sameOrigin(r, origin) || slices.ContainsFunc(origins, func(o string) bool { return strings.EqualFold(o, origin) })
	}
}

// AnyOrigin allows pages of every origin. It is safe only if requests are not authenticated by cookies or addresses.
func AnyOrigin(*http.Request, string) bool { return true }

// sameOrigin compares only hosts: the scheme is not known behind a proxy that terminates TLS.
func sameOrigin(r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// allowed checks the origin of a request and reports whether to continue. It answers preflight requests itself.
func (s *Server) allowed(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		if r.Method == http.MethodOptions {
			methodNotAllowed(w)
			return false
		}
		return true
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if !s.opts.AllowOrigin(r, origin) {
		plain(w, http.StatusForbidden, "Origin is not allowed")
		return false
	}
	// Clients send credentials by default. CORS then requires the exact origin instead of "*".
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	if r.Method != http.MethodOptions {
		return true
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
	if allowed := s.allowedHeaders(r); allowed != "" {
		h.Set("Access-Control-Allow-Headers", allowed)
		h.Add("Vary", "Access-Control-Request-Headers")
	}
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return false
}

// allowedHeaders returns the value of Access-Control-Allow-Headers: the headers of the options, or those that the browser
// requests. A value that is not a list of header names is not echoed.
func (s *Server) allowedHeaders(r *http.Request) string {
	if s.opts.AllowHeaders != nil {
		return strings.Join(s.opts.AllowHeaders, ", ")
	}
	asked := strings.Join(r.Header.Values("Access-Control-Request-Headers"), ", ")
	const longest = 4 << 10 // bytes
	if len(asked) > longest || strings.ContainsFunc(asked, func(c rune) bool {
		return c != '-' && c != '_' && c != ',' && c != ' ' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	}) {
		return ""
	}
	if asked == "" {
		return "authorization, content-type, x-requested-with, x-signalr-user-agent" // what Microsoft's clients send
	}
	return asked
}
