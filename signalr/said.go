package signalr

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// said are faults of the program around the server. Each is logged once, with its remedy: it comes back with every request.
type said struct {
	notRunning, noHijacker, noFlusher, noRequest sync.Once
}

// once logs a fault of the program, the first time.
func (s *Server) once(o *sync.Once, text string, args ...any) {
	o.Do(func() { s.opts.Logger.Error("signalr: "+text, args...) })
}

// startGrace is how long requests may come before [Server.Run] is called: a listener is often open a moment earlier.
const startGrace = 5 * time.Second

const notRunning = "The hub's server does not run: call Server.Run."

// working reports whether the server works or may still begin to. Otherwise it answers 503: connections would wait for ever.
func (s *Server) working(w http.ResponseWriter) bool {
	if s.running.Load() || time.Duration(s.time()-s.made) < startGrace {
		return true
	}
	s.once(&s.said.notRunning, "requests come, but Server.Run was not called; call it, in a goroutine beside the http.Server")
	w.Header().Set("Retry-After", "1")
	plain(w, http.StatusServiceUnavailable, notRunning)
	return false
}

// noUpgrade logs that a ResponseWriter hides the socket.
func (s *Server) noUpgrade(w http.ResponseWriter, err error) {
	s.once(&s.said.noHijacker, "WebSockets cannot be opened: the http.ResponseWriter gives no access to its connection; a middleware that "+
		"wraps it must have a method Unwrap() http.ResponseWriter, or WebSockets must be left out of Options.Transports", "writer", writerName(w), "error", err)
}

// noStream logs that a ResponseWriter cannot flush.
func (s *Server) noStream(w http.ResponseWriter, err error) {
	s.once(&s.said.noFlusher, "events cannot be streamed: the http.ResponseWriter cannot flush; a middleware that wraps it must have a method "+
		"Unwrap() http.ResponseWriter, or events must be left out of Options.Transports", "writer", writerName(w), "error", err)
}

func writerName(w http.ResponseWriter) string { return fmt.Sprintf("%T", w) }
