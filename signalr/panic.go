package signalr

import (
	"net/http"
	"runtime/debug"
)

// Panic describes a panic that the server has recovered. Its connection ends, unless a method of the hub has panicked:
// then only that call fails. Other connections are not affected.
type Panic struct {
	Where       string // name of the method, the hook or the part of the server
	Application bool   // the panic came from application code: a method, a hook or an encoder
	Connection  string // name of the connection in logs; empty if there is none
	Value       any    // argument of panic
	Stack       string
}

// Origins of a panic, as attributes of a metric.
const (
	panicOfApplication = "application"
	panicOfServer      = "server"
)

// recovered logs and counts a panic, and tells the application.
func (s *Server) recovered(p Panic) {
	// A logger or a hook that panics, too, must not undo the recovery.
	defer func() { _ = recover() }()
	origin := panicOfServer
	if p.Application {
		origin = panicOfApplication
		s.counters.appPanics.Add(1)
	} else {
		s.counters.ownPanics.Add(1)
	}
	if f := s.opts.OnPanic; f != nil {
		defer f(p)
	}
	s.opts.Logger.Error("signalr: recovered panic",
		"where", p.Where, "origin", origin, "connection", p.Connection, "panic", p.Value, "stack", p.Stack)
}

// protect calls f, which is the application's, and recovers its panic. It reports whether f returned.
func (c *Conn) protect(where string, f func()) (ok bool) {
	defer c.protected(where)
	f()
	return true
}

// protected is deferred around code of the application.
func (c *Conn) protected(where string) {
	if v := recover(); v != nil {
		c.server.recovered(Panic{Where: where, Application: true, Connection: c.logName(), Value: v, Stack: string(debug.Stack())})
	}
}

// contain is deferred around the server's own work for a connection: a panic ends that connection and nothing else.
func (c *Conn) contain(where string) {
	if v := recover(); v != nil {
		c.panicked(where, v)
	}
}

func (c *Conn) panicked(where string, v any) {
	p := Panic{Where: where, Connection: c.logName(), Value: v, Stack: string(debug.Stack())}
	// A goroutine of its own: the one that panicked may serve other connections, and may hold a lock of this one, which OnPanic or the
	// end of the connection needs.
	c.server.spawn(func() {
		c.server.recovered(p)
		c.end(ending{err: errPanicked, abort: true, status: StatusError})
		c.transport().abort()
	})
}

// containRequest is contain for the goroutine of a request, which cannot be answered any more.
func (c *Conn) containRequest() {
	v := recover()
	if v == nil {
		return
	}
	if v != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
		c.panicked("request", v)
	}
	panic(http.ErrAbortHandler)
}

// containPlane is deferred around what another node asks for.
func (s *Server) containPlane() {
	if v := recover(); v != nil {
		s.recovered(Panic{Where: "backplane", Value: v, Stack: string(debug.Stack())})
	}
}

// containRequest recovers a panic outside of any connection: of the application's hooks, as a rule. net/http drops the
// request's socket without another log entry.
func (s *Server) containRequest() {
	v := recover()
	if v == nil {
		return
	}
	if v != http.ErrAbortHandler { //nolint:errorlint // as above
		s.recovered(Panic{Where: "request", Value: v, Stack: string(debug.Stack())})
	}
	panic(http.ErrAbortHandler)
}
