package fastpath

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
	read []byte // not taken yet; the reader's
}

// Read gives what was read first.
func (b *begun) Read(p []byte) (int, error) {
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
