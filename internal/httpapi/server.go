package httpapi

import (
	"log/slog"
	"net/http"
	"time"
)

// NewServer returns the http.Server of a node, with timeouts for many keep-alive connections. It sets the request id
// and the security headers of every response. ReadTimeout runs from the first byte of a request and continues while the handler runs. A handler
// that streams for longer removes the deadline through http.ResponseController; hijacking removes it too.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           withCommonHeaders(h),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       bodyTime, // for headers and body; a batch of 16 MiB needs 2.2 Mbit/s
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
