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

// watched is a connection that tells of its end while nobody reads from it. Others go to net/http at once.
type watched interface {
	net.Conn
	// OnEnd has f called when the connection is over in both directions, perhaps more than once; nil: no more.
	OnEnd(f func())
	// ReadOr reads what is there; where nothing is it gives 0 and nil, and calls f once when that has changed.
	ReadOr(b []byte, f *func()) (int, error)
}

// Server serves a listener. Handler, timeouts, ConnContext, ConnState and ErrorLog are those of its http.Server; ConnState is told of StateNew
// and StateClosed only, as long as the connection is here.
type Server struct {
	// Panics is told of a panic of a worker or a handler: only its connection ends. It is to be set before Serve; nil: only panics of
	// handlers are recovered, and logged as net/http does.
	Panics func(cause any)

	http    *http.Server
	handler http.Handler // of all calls
	// What the http.Server was given; its own are those of prepareBeyond.
	connContext func(ctx context.Context, nc net.Conn) context.Context
	connState   func(nc net.Conn, state http.ConnState)
	takes       func(method, path string) bool
	beyond      *handover
	ctx         context.Context //nolint:containedctx // of all connections: it has what net/http puts there, and no end
	clock       clock
	// firstCall is how long a connection that is new may take for its first call though the server stops: its caller may have sent
	// it already. Five seconds, as in net/http.
	firstCall time.Duration
	draining  atomic.Bool
	inside    drain.Gate // the connections
	workers   workers

	mu       sync.Mutex
	listener net.Listener
	conns    map[*conn]struct{}
}

// New makes a server of one of net/http, which is the Server's from then on. takes says which calls may be answered here: those whose handlers neither stream nor take
// over the connection. It is asked about GET and POST, and about paths of letters, digits, '-', '_', '.' and '/' only.
func New(h *http.Server, takes func(method, path string) bool) *Server {
	s := &Server{
		http: h, handler: h.Handler, connContext: h.ConnContext, connState: h.ConnState, takes: takes, beyond: newHandover(),
		conns: map[*conn]struct{}{}, firstCall: 5 * time.Second, ctx: context.WithValue(context.Background(), http.ServerContextKey, h),
	}
	if s.connContext == nil {
		s.connContext = func(ctx context.Context, _ net.Conn) context.Context { return ctx }
	}
	s.prepareBeyond()
	return s
}

// Serve takes connections until the listener fails or Shutdown, when it returns http.ErrServerClosed. It may be called once.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	s.listener = l
	draining := s.draining.Load()
	s.mu.Unlock()
	if draining {
		return errors.Join(http.ErrServerClosed, l.Close())
	}
	s.beyond.addr = l.Addr()
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(s.beyond) }()
	err := s.accept(l)
	if !s.draining.Load() {
		return errors.Join(err, s.beyond.Close(), onlyUnexpected(<-served))
	}
	return errors.Join(http.ErrServerClosed, onlyUnexpected(<-served)) // Shutdown ends it
}

// onlyUnexpected is why net/http stopped, unless it was told to.
func onlyUnexpected(err error) error {
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// longestPause is the longest between two tries to accept.
const longestPause = time.Second

// accept takes connections until the listener fails for good. Where there are no descriptors left it waits, as net/http does.
func (s *Server) accept(l net.Listener) error {
	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
		var passing interface{ Temporary() bool }
		switch {
		case err == nil:
			pause = 0
			s.take(nc)
		case s.draining.Load() || !errors.As(err, &passing) || !passing.Temporary():
			return err
		default:
			pause = min(max(2*pause, 5*time.Millisecond), longestPause)
			s.logf("http: accept: %v; trying again in %v", err, pause)
			time.Sleep(pause)
		}
	}
}

// take begins to serve a connection.
func (s *Server) take(nc net.Conn) {
	w, ok := nc.(watched)
	switch {
	case !ok:
		s.beyond.give(nc)
	case !s.inside.Enter():
		_ = nc.Close() // it came too late
	default:
		s.state(w, http.StateNew)
		newConn(s, w).begin()
	}
}

// Shutdown takes no more connections, ends those that wait for a call, lets calls under way be answered, and then does the same to
// net/http's. When ctx ends first it ends those that are left, with their calls, and returns its error.
func (s *Server) Shutdown(ctx context.Context) error {
	var err error
	s.mu.Lock()
	s.draining.Store(true)
	if s.listener != nil {
		err = s.listener.Close()
	}
	for c := range s.conns {
		c.hurry()
	}
	s.mu.Unlock()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	left := make(chan struct{})
	go func() {
		defer close(left)
		s.inside.Close()
		s.workers.close()
	}()
	select {
	case <-left:
	case <-ctx.Done():
		s.closeAll()
		_ = s.http.Shutdown(ctx) // with the same error, where it has anything left
		return errors.Join(err, ctx.Err())
	}
	return errors.Join(err, s.http.Shutdown(ctx))
}

func (s *Server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.gone()
		_ = c.net.Close() // nobody is left to be told
	}
}

// add tells Shutdown of a connection.
func (s *Server) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
	if s.draining.Load() {
		c.hurry()
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
