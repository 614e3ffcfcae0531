package signalr

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Server serves one hub. It is an [http.Handler] for the hub's path with and without a trailing slash and for
// "negotiate" below it; see [Server.Mount] and [Server.Handler].
//
// It works while [Server.Run] runs: connections made before that wait for it.
type Server struct {
	hub      *Hub
	opts     Options
	engine   *engine
	registry *registry
	groups   *groups
	pending  *pending
	counters counters
	offer    []transport  // what negotiate says of Options.Transports
	time     func() int64 // Now, but for tests
	made     int64        // when NewServer returned it, by Now
	clock    atomic.Int64 // time as of the last heartbeat

	unfinished atomic.Int64 // bytes, see Limits.Unfinished
	unread     atomic.Int64 // bytes of output that clients have not read

	// spawned holds every goroutine that runs for a connection. Run waits for it.
	spawned sync.WaitGroup
	said    said        // what is logged once
	running atomic.Bool // Run has been called
	run     struct {
		sync.Mutex
		started, stopping bool
		stop              chan struct{} // closed when the last connection is to be dropped
		done              chan struct{} // closed when Run has returned
	}
}

// NewServer makes a server for a hub, which it copies.
func NewServer(hub *Hub, opts Options) *Server {
	opts = opts.withDefaults()
	s := &Server{
		hub:      hub.frozen(),
		opts:     opts,
		registry: newRegistry(),
		groups:   newGroups(),
		pending:  newPending(opts.Limits.Negotiated, opts.Timeouts.Disconnect),
	}
	s.offer = opts.Transports.describe()
	s.time = Now
	s.made = Now()
	s.clock.Store(Now())
	s.engine = newEngine(s, opts.Pollers)
	s.run.stop = make(chan struct{})
	s.run.done = make(chan struct{})
	return s
}

// ServeHTTP answers negotiate (any path whose last segment is "negotiate", see [CutNegotiate]) and takes connections (any other path).
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer s.containRequest()
	if s.forwardUnknown(w, r) || !s.allowed(w, r) || !s.working(w) {
		return
	}
	if _, negotiate := CutNegotiate(r.URL.Path); negotiate {
		s.negotiate(w, r)
		return
	}
	s.endpoint(w, r)
}

// Run works until ctx ends or [Server.Shutdown] is done, owns all goroutines of the server and returns when they have
// ended. Handlers that do not return hold it up. When ctx ends without Shutdown, all connections are closed at once;
// their clients may reconnect. It returns nil, or why the engine failed.
func (s *Server) Run(ctx context.Context) error {
	s.run.Lock()
	if s.run.started {
		s.run.Unlock()
		return ErrServerStopped
	}
	s.run.started = true
	s.running.Store(true)
	s.run.Unlock()
	defer close(s.run.done)

	failed := s.engine.start()
	ticker := time.NewTicker(s.opts.Timeouts.Heartbeat)
	defer ticker.Stop()
	var err error
	for working := true; working; {
		select {
		case <-ticker.C:
			s.beat(s.time())
		case <-s.run.stop:
			working = false
		case <-ctx.Done():
			working = false
		case err = <-failed:
			working = false
		}
	}
	s.dropAll()
	s.engine.stop()
	s.spawned.Wait()
	return err
}

// dropAll closes what is left, with a last word but without waiting for the peers.
func (s *Server) dropAll() {
	s.registry.close()
	for _, c := range s.registry.appendAll(nil) {
		c.end(shutdownEnding())
		c.transport().hangUp()
	}
	<-s.registry.empty
}

func (s *Server) draining() bool {
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	return s.registry.closed
}

func shutdownEnding() ending {
	return ending{err: nil, allowReconnect: true, code: closeNormal, status: StatusShutdown}
}

// Shutdown shuts the server down gracefully. Negotiate requests and new connections are answered 503; open connections are
// closed at Limits.DrainRate, and their clients are told to reconnect. Shutdown waits until all connections have ended. If
// ctx ends first, it closes the rest at once and returns the context's error. Then Run returns.
func (s *Server) Shutdown(ctx context.Context) error {
	s.registry.close()
	err := s.drain(ctx)
	s.run.Lock()
	started := s.run.started
	if !s.run.stopping {
		s.run.stopping = true
		close(s.run.stop)
	}
	s.run.Unlock()
	if started {
		<-s.run.done
	}
	return err
}

func (s *Server) drain(ctx context.Context) error {
	if _, err := pace(ctx, s.registry.appendAll(nil), s.opts.Limits.DrainRate, shutdownEnding); err != nil {
		return err
	}
	select {
	case <-s.registry.empty:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Conn returns the open connection with an id, nil if there is none here.
func (s *Server) Conn(id string) *Conn { return s.registry.byID(id) }

// spawn runs f on a goroutine that Run waits for.
func (s *Server) spawn(f func()) { s.spawned.Go(f) }

func (s *Server) now() int64 { return s.clock.Load() }
