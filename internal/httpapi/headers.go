package httpapi

import "net/http"

// pagePolicy is the Content-Security-Policy of answers that set none: nothing may be loaded but styles of the page itself, and no
// page may frame it.
const pagePolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

// Values of security headers, shared by all answers: nothing writes to them.
var (
	noSniff    = []string{"nosniff"}
	noReferrer = []string{"no-referrer"}
	noFrames   = []string{pagePolicy}
)

// withSecurityHeaders sets the security headers of every answer before h runs, which may set its own policy. Answers to
// POST /v1/messages are JSON for programs: they get nosniff alone.
func withSecurityHeaders(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header["X-Content-Type-Options"] = noSniff
		if r.URL.Path != "/v1/messages" || r.Method != http.MethodPost {
			header["Content-Security-Policy"] = noFrames
			header["Referrer-Policy"] = noReferrer
		}
		h.ServeHTTP(w, r)
	})
}
