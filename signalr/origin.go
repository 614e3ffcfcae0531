package signalr

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// AllowOrigins allows pages of exactly these origins, such as "https://app.example", besides the server's own.
func AllowOrigins(origins ...string) func(*http.Request, string) bool {
	return func(r *http.Request, origin string) bool {
		return sameOrigin(r, origin) || slices.ContainsFunc(origins, func(o string) bool { return strings.EqualFold(o, origin) })
	}
}

// AnyOrigin allows pages of every origin. It is safe only where no cookie or address authenticates a request.
func AnyOrigin(*http.Request, string) bool { return true }

// sameOrigin compares hosts only: behind a proxy that ends TLS the scheme is not known.
func sameOrigin(r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// allowed applies the origin rule, and reports whether the request may go on. It answers preflights itself.
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
	// Clients send credentials unless told otherwise, and then the origin must be named.
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

// allowedHeaders returns what a preflight answers about headers: those of the options, or those asked for. What is no list of
// names is not repeated.
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
