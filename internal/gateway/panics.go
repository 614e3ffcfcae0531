package gateway

import (
	"net/http"
	"runtime/debug"
)

// recoverRequest ends the request and its connection, not the process, where a handler panics: what a caller or a node sent must not
// end what others have under way.
func (g *Gateway) recoverRequest(r *http.Request) {
	switch reason := recover(); reason {
	case nil:
	case http.ErrAbortHandler: //nolint:errorlint // net/http compares it so
		panic(reason)
	default:
		g.panicked("request", reason, "method", r.Method, "path", r.URL.Path)
		panic(http.ErrAbortHandler)
	}
}

// contain is deferred by each goroutine that handles bytes of a caller or a node, and by nothing else.
func (g *Gateway) contain(part string) {
	if reason := recover(); reason != nil {
		g.panicked(part, reason)
	}
}

func (g *Gateway) panicked(part string, reason any, more ...any) {
	g.panics.Add(1)
	g.opts.Log.Error("a fault of this program ended a connection; please report it",
		append([]any{"part", part, "panic", reason, "stack", string(debug.Stack())}, more...)...)
}
