package httpfast

import (
	"errors"
	"net"
	"sync"
	"syscall"
)

// fallbackListener is the listener of the http.Server. Its connections come from hand; they were accepted before.
type fallbackListener struct {
	conns chan net.Conn
	ended chan struct{}
	close sync.Once
	addr  net.Addr
}

func newFallbackListener() *fallbackListener {
	return &fallbackListener{conns: make(chan net.Conn), ended: make(chan struct{})}
}

// hand passes a connection to Accept, or closes it if the listener is closed.
func (h *fallbackListener) hand(c net.Conn) {
	select {
	case h.conns <- c:
	case <-h.ended:
		_ = c.Close() // the server has stopped
	}
}

// Accept implements net.Listener.
func (h *fallbackListener) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.ended:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *fallbackListener) Close() error {
	h.close.Do(func() { close(h.ended) })
	return nil
}

// Addr implements net.Listener.
func (h *fallbackListener) Addr() net.Addr { return h.addr }

// prereadConn is a connection whose first bytes have been read already. It returns them again.
type prereadConn struct {
	notifyingConn
	read  []byte // bytes to return before those of the connection; used by the reader only
	guard headGuard

	refused error // result of all further reads after a refused head; used by the reader only
}

// newPrereadConn returns a connection that returns a copy of read first. The bytes start with a head.
func newPrereadConn(nc notifyingConn, read []byte) *prereadConn {
	b := &prereadConn{notifyingConn: nc, read: append([]byte(nil), read...)}
	b.guard.idle.Store(true)
	return b
}

// Read implements net.Conn. It refuses ambiguous heads.
func (b *prereadConn) Read(p []byte) (int, error) {
	if b.refused != nil {
		return 0, b.refused
	}
	n, err := b.readUnchecked(p)
	b.refused = b.guard.check(p[:n])
	if b.refused != nil {
		// net/http peeks four octets of a later request and closes the connection without an answer if that fails.
		return min(n, 4), nil
	}
	return n, err
}

func (b *prereadConn) readUnchecked(p []byte) (int, error) {
	if len(b.read) == 0 {
		return b.notifyingConn.Read(p)
	}
	n := copy(p, b.read)
	b.read = b.read[n:]
	if len(b.read) == 0 {
		b.read = nil
	}
	return n, nil
}

// SyscallConn implements syscall.Conn for the hubs, which take over the descriptor. By then the bytes of read are in
// net/http's buffer, which is as large as a worker's.
func (b *prereadConn) SyscallConn() (syscall.RawConn, error) {
	sc, ok := b.notifyingConn.(syscall.Conn)
	if !ok {
		return nil, syscall.EINVAL
	}
	return sc.SyscallConn()
}

// CloseWrite lets net/http shut down its sending side before it closes a connection whose peer still sends.
func (b *prereadConn) CloseWrite() error {
	if half, ok := b.notifyingConn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return syscall.EINVAL
}

// NetConn returns the underlying connection.
func (b *prereadConn) NetConn() net.Conn { return b.notifyingConn }

// Handover transfers the descriptor to a new owner, without a duplicate as SyscallConn needs. end asks the owner to close the
// connection. The owner must call closed after it has closed the descriptor.
func (b *prereadConn) Handover(end func()) (fd int, closed func(), err error) {
	if o, ok := b.notifyingConn.(interface {
		Handover(end func()) (int, func(), error)
	}); ok {
		return o.Handover(end)
	}
	return -1, nil, errors.ErrUnsupported
}
