package httpapi

import (
	"log/slog"
	"net/http"
	"time"
)

// NewServer makes the http.Server for a node: made for many keep-alive connections, and patient with none of them. It sets the
// security headers of every answer. Its
// ReadTimeout runs from the first byte of a request and goes on while its handler works: a handler that streams for longer
// lifts it through http.ResponseController, and hijacking a connection lifts it too.
func NewServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           withSecurityHeaders(h),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       bodyTime, // of headers and body; a batch of 16 MiB needs 2.2 Mbit/s
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
