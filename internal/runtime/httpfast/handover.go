package httpfast

import (
	"errors"
	"net"
	"sync"
	"syscall"
)

// handover is the listener of net/http: what is accepted from it was accepted before.
type handover struct {
	conns chan net.Conn
	ended chan struct{}
	close sync.Once
	addr  net.Addr
}

func newHandover() *handover {
	return &handover{conns: make(chan net.Conn), ended: make(chan struct{})}
}

// give passes a connection on.
func (h *handover) give(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.ended:
		_ = c.Close() // nobody serves any more
	}
}

// Accept realises net.Listener.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.ended:
		return nil, net.ErrClosed
	}
}

// Close realises net.Listener.
func (h *handover) Close() error {
	h.close.Do(func() { close(h.ended) })
	return nil
}

// Addr realises net.Listener.
func (h *handover) Addr() net.Addr { return h.addr }

// begun is a connection of which something has been read.
type begun struct {
	watched
	read  []byte // not taken yet; the reader's
	guard headGuard

	refused error // of a head that was refused: all that comes behind it; the reader's
}

// newBegun makes a connection of which read is read again; it begins with a head.
func newBegun(nc watched, read []byte) *begun {
	b := &begun{watched: nc, read: append([]byte(nil), read...)}
	b.guard.idle.Store(true)
	return b
}

// Read returns what was read first. It refuses heads that can be read in two ways.
func (b *begun) Read(p []byte) (int, error) {
	if b.refused != nil {
		return 0, b.refused
	}
	n, err := b.readAny(p)
	if b.refused = b.guard.check(p[:n]); b.refused != nil {
		// net/http waits for four octets of a later request, and closes the connection without a word where that fails.
		return min(n, 4), nil
	}
	return n, err
}

func (b *begun) readAny(p []byte) (int, error) {
	if len(b.read) == 0 {
		return b.watched.Read(p)
	}
	n := copy(p, b.read)
	if b.read = b.read[n:]; len(b.read) == 0 {
		b.read = nil
	}
	return n, nil
}

// SyscallConn is for the hubs, which take the descriptor. What was read is in net/http's buffer by then, which is as large.
func (b *begun) SyscallConn() (syscall.RawConn, error) {
	sc, ok := b.watched.(syscall.Conn)
	if !ok {
		return nil, syscall.EINVAL
	}
	return sc.SyscallConn()
}

// CloseWrite is for net/http, which ends its side before it closes a connection whose peer still sends.
func (b *begun) CloseWrite() error {
	if half, ok := b.watched.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return syscall.EINVAL
}

// NetConn returns the connection beneath.
func (b *begun) NetConn() net.Conn { return b.watched }

// Handover gives the descriptor to a new owner, as SyscallConn does without a second one: end asks the owner to end the connection,
// and the owner calls closed when it has.
func (b *begun) Handover(end func()) (fd int, closed func(), err error) {
	if o, ok := b.watched.(interface {
		Handover(end func()) (int, func(), error)
	}); ok {
		return o.Handover(end)
	}
	return -1, nil, errors.ErrUnsupported
}
