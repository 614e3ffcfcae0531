package signalr

import (
	"net"
	"sync/atomic"
)

// engine moves the bytes of all sockets. Sockets that the operating system can watch for us are served by a few loops;
// others (TLS, wrapped connections, platforms without a poller) by a goroutine each.
type engine struct {
	server  *Server
	pollers []*poller
	failed  chan error
	next    atomic.Uint32
	loops   chan struct{} // one token per running loop, given back at its end
}

func newEngine(s *Server, pollers int) *engine {
	e := &engine{server: s, failed: make(chan error, max(pollers, 1))}
	for range pollers {
		p, err := newPoller()
		if err != nil {
			if err != errNoPoller { //nolint:errorlint // our own, never wrapped
				s.opts.Logger.Error("signalr: no poller, connections get goroutines", "error", err)
			}
			break
		}
		e.pollers = append(e.pollers, p)
	}
	return e
}

// start runs the loops and returns where they report that one has failed.
func (e *engine) start() <-chan error {
	e.loops = make(chan struct{}, len(e.pollers))
	for _, p := range e.pollers {
		go func() {
			if err := p.run(); err != nil {
				e.failed <- err
			}
			e.loops <- struct{}{}
		}()
	}
	return e.failed
}

// stop ends the loops and waits for them. There must be no sockets left.
func (e *engine) stop() {
	for _, p := range e.pollers {
		p.close()
	}
	for range e.pollers {
		<-e.loops
	}
}

// adopt takes a socket over. early is what the peer has sent already.
func (e *engine) adopt(nc net.Conn, early []byte, l *webSocket) error {
	if len(e.pollers) > 0 {
		p := e.pollers[int(e.next.Add(1))%len(e.pollers)]
		if done, err := p.adopt(nc, early, l); done || err != nil {
			return err
		}
	}
	w := newGoWire(nc, l)
	if len(early) > 0 {
		w.early = append([]byte(nil), early...)
	}
	l.attach(w)
	e.server.spawn(w.read)
	return nil
}
