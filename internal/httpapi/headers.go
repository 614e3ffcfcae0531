package httpapi

import (
	"net/http"

	"github.com/esh3artech/esh3ar/internal/requestid"
)

// pagePolicy is the default Content-Security-Policy: a page may use its own inline styles, load nothing, and not be framed.
const pagePolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

// Values of security headers, shared by all responses and never changed.
var (
	noSniff    = []string{"nosniff"}
	noReferrer = []string{"no-referrer"}
	noFrames   = []string{pagePolicy}
)

// withCommonHeaders returns a handler that sets the request id and the security headers before it calls h, which may replace them.
// Responses to POST /v1/messages are JSON for programs and have nosniff only.
func withCommonHeaders(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		requestid.Set(header, r.Header)
		header["X-Content-Type-Options"] = noSniff
		if r.URL.Path != "/v1/messages" || r.Method != http.MethodPost {
			header["Content-Security-Policy"] = noFrames
			header["Referrer-Policy"] = noReferrer
		}
		h.ServeHTTP(w, r)
	})
}
