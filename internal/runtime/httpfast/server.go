package httpfast

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar/internal/runtime/drain"
)

// notifyingConn is a connection that reports its end without a read in progress, as those of package netpoll do. Connections
// without these methods go to net/http immediately.
type notifyingConn interface {
	net.Conn
	// OnEnd registers f to be called, perhaps more than once, when the connection has ended in both directions; nil
	// unregisters it.
	OnEnd(f func())
	// ReadOrNotify reads what is available. If nothing is, it returns 0 and nil, and calls f once when that has changed.
	ReadOrNotify(b []byte, f *func()) (int, error)
}

// Server serves a listener with the handler, timeouts, ConnContext, ConnState and ErrorLog of an http.Server. While a
// connection is on the fast path, ConnState is called with StateNew and StateClosed only.
type Server struct {
	// OnPanic is called with the cause of a panic in a worker or a handler; only its connection is closed. It must be set
	// before Serve. nil: only panics of handlers are recovered, and they are logged as in net/http.
	OnPanic func(cause any)

	http    *http.Server
	handler http.Handler // original handler of the http.Server
	// Original hooks of the http.Server; prepareFallback replaces them there.
	connContext func(ctx context.Context, nc net.Conn) context.Context
	connState   func(nc net.Conn, state http.ConnState)
	accepts     func(method, path string) bool
	fallback    *fallbackListener
	ctx         context.Context //nolint:containedctx // parent of all connections' contexts; holds the values of net/http and is never cancelled
	clock       clock
	// firstRequestTimeout is how long a new connection may take for its first request during a shutdown, because the client
	// may have sent it already. Five seconds, as in net/http.
	firstRequestTimeout time.Duration
	draining            atomic.Bool
	active              drain.Gate // open connections on the fast path
	workers             workers

	mu       sync.Mutex
	listener net.Listener
	conns    map[*conn]struct{}
}

// New returns a Server for an http.Server, which it takes over. accepts reports whether the fast path may serve a request; the
// handler must neither stream nor take over the connection. It is called for GET and POST only, and only for paths of
// letters, digits, '-', '_', '.' and '/'.
func New(h *http.Server, takes func(method, path string) bool) *Server {
	s := &Server{
		http: h, handler: h.Handler, connContext: h.ConnContext, connState: h.ConnState, accepts: takes, fallback: newFallbackListener(),
		conns: map[*conn]struct{}{}, firstRequestTimeout: 5 * time.Second, ctx: context.WithValue(context.Background(), http.ServerContextKey, h),
	}
	if s.connContext == nil {
		s.connContext = func(ctx context.Context, _ net.Conn) context.Context { return ctx }
	}
	s.prepareFallback()
	return s
}

// Serve accepts connections until the listener fails, or until Shutdown, after which it returns http.ErrServerClosed. It must
// be called at most once.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	s.listener = l
	draining := s.draining.Load()
	s.mu.Unlock()
	if draining {
		return errors.Join(http.ErrServerClosed, l.Close())
	}
	s.fallback.addr = l.Addr()
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.fallback) }()
	err := s.accept(l)
	if !s.draining.Load() {
		return errors.Join(err, s.fallback.Close(), ignoreClosed(<-served))
	}
	return errors.Join(http.ErrServerClosed, ignoreClosed(<-served)) // Shutdown stops the http.Server
}

// ignoreClosed returns err, or nil if it only reports an intended stop of the http.Server.
func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// maxAcceptDelay is the longest pause between attempts to accept.
const maxAcceptDelay = time.Second

// accept accepts connections until the listener fails permanently. After a temporary error, such as too many open files, it
// pauses and tries again, as net/http does.
func (s *Server) accept(l net.Listener) error {
	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
		var passing interface{ Temporary() bool }
		switch {
		case err == nil:
			pause = 0
			s.serveConn(nc)
		case s.draining.Load() || !errors.As(err, &passing) || !passing.Temporary():
			return err
		default:
			pause = min(max(2*pause, 5*time.Millisecond), maxAcceptDelay)
			s.logf("http: accept: %v; trying again in %v", err, pause)
			time.Sleep(pause)
		}
	}
}

// serveConn starts to serve a connection.
func (s *Server) serveConn(nc net.Conn) {
	w, ok := nc.(notifyingConn)
	switch {
	case !ok:
		s.fallback.hand(nc)
	case !s.active.Enter():
		_ = nc.Close() // the server is shutting down
	default:
		s.state(w, http.StateNew)
		newConn(s, w).start()
	}
}

// Shutdown closes the listener and idle connections, waits for requests in progress, and then shuts down the http.Server. If
// ctx is done first, it closes the remaining connections, which cancels their requests, and returns the error of ctx.
func (s *Server) Shutdown(ctx context.Context) error {
	var err error
	s.mu.Lock()
	s.draining.Store(true)
	if s.listener != nil {
		err = s.listener.Close()
	}
	for c := range s.conns {
		c.shortenDeadline()
	}
	s.mu.Unlock()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	left := make(chan struct{})
	go func() {
		defer close(left)
		s.active.Close()
		s.workers.close()
	}()
	select {
	case <-left:
	case <-ctx.Done():
		s.closeAll()
		_ = s.http.Shutdown(ctx) // returns the same error if connections are left
		return errors.Join(err, ctx.Err())
	}
	return errors.Join(err, s.http.Shutdown(ctx))
}

func (s *Server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.cancel()
		_ = c.net.Close() // the error has no receiver
	}
}

// add registers a connection for Shutdown.
func (s *Server) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
	if s.draining.Load() {
		c.shortenDeadline()
	}
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *Server) state(nc net.Conn, state http.ConnState) {
	if s.connState != nil {
		s.connState(nc, state)
	}
}

func (s *Server) logf(format string, args ...any) {
	if s.http.ErrorLog != nil {
		s.http.ErrorLog.Printf(format, args...)
	}
}
