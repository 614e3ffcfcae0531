package netpoll

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Conn is a TCP connection that a Poller watches.
type Conn struct {
	poller           *Poller
	slot, generation int32 // index in Poller.conns; distinguishes connections that had the same slot
	local, remote    net.Addr
	in, out          direction
	inputEnded       atomic.Bool // the peer has closed its sending side and may still read; reads do not block
	ended            atomic.Bool // the connection is closed in both directions, or broken
	onEnd            atomic.Pointer[func()]

	reading sync.Mutex
	drained bool // the last read was short, so nothing is left to read (epoll(7)); guarded by reading

	writing sync.Mutex

	mu     sync.Mutex // held during each use of fd and its close: after the close, the number may belong to another file
	fd     int
	closed bool
}

var (
	_ net.Conn     = (*Conn)(nil)
	_ syscall.Conn = (*Conn)(nil)
)

// Read implements net.Conn. It returns io.EOF, or a *net.OpError with os.ErrDeadlineExceeded, net.ErrClosed or an error of
// the system.
func (c *Conn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	for {
		if n, err := c.tryRead(b); n > 0 || err != nil {
			return n, err
		}
		c.in.wait()
		c.drained = false
	}
}

// ReadOrNotify reads what is available. If nothing is, it returns 0 and nil, and calls f once when the next read may return
// something: data has arrived, the peer has closed or broken the connection, the deadline has passed, or the connection was
// closed. f must not block and must not use the connection. No other read may run until f is called.
func (c *Conn) ReadOrNotify(b []byte, f *func()) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	for {
		if n, err := c.tryRead(b); n > 0 || err != nil {
			return n, err
		}
		c.drained = false // for the read after f is called
		if c.in.notifyWhenReady(f) {
			return 0, nil
		}
	}
}

// tryRead reads what is available. It returns 0 and nil if nothing is.
func (c *Conn) tryRead(b []byte) (int, error) {
	if c.in.expired(time.Now()) {
		return 0, c.opError("read", os.ErrDeadlineExceeded)
	}
	if c.drained && !c.inputEnded.Load() {
		return 0, nil
	}
	n, err := c.read(b)
	switch {
	case err == nil && n == 0:
		return 0, io.EOF
	case err == nil:
		c.drained = n < len(b)
		return n, nil
	case errors.Is(err, syscall.EAGAIN):
		return 0, nil
	}
	return 0, c.opError("read", err)
}

// A peer that does not read must not block a writer for ever: a Write that blocks fails after Poller.WriteTimeout plus the
// time that its bytes take at minWriteRate, even without a deadline.
const (
	defaultWriteTimeout = 30 * time.Second // default of Poller.WriteTimeout
	minWriteRate        = 16 << 10         // bytes per second
)

// writeTimeoutFor returns how long a Write of n bytes may block.
func (p *Poller) writeTimeoutFor(n int) time.Duration {
	timeout := p.WriteTimeout
	if timeout == 0 {
		timeout = defaultWriteTimeout
	}
	return timeout + time.Duration(n)*time.Second/minWriteRate
}

// Write implements net.Conn. It blocks while the peer does not read, until the write deadline or the time of
// writeTimeoutFor.
func (c *Conn) Write(b []byte) (written int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	defer c.out.limit.Store(0)
	for written < len(b) {
		if c.out.expired(time.Now()) {
			return written, c.opError("write", os.ErrDeadlineExceeded)
		}
		n, err := c.write(b[written:])
		switch {
		case err == nil:
			written += n
		case errors.Is(err, syscall.EAGAIN):
			c.out.setLimitOnce(time.Now().Add(c.poller.writeTimeoutFor(len(b))))
			c.out.wait()
		default:
			return written, c.opError("write", err)
		}
	}
	return written, nil
}

// Close implements net.Conn. Blocked calls return net.ErrClosed. The kernel still sends data that was written before.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return c.opError("close", net.ErrClosed)
	}
	c.closed = true
	// Without EPOLL_CTL_DEL, a duplicate of the descriptor would keep the socket registered.
	err := errors.Join(syscall.EpollCtl(c.poller.epoll, syscall.EPOLL_CTL_DEL, c.fd, nil), syscall.Close(c.fd))
	c.mu.Unlock()
	c.poller.freeSlot(c)
	c.end()
	c.in.signal()
	c.out.signal()
	if err != nil {
		return c.opError("close", err)
	}
	return nil
}

// Detach closes the Conn but not its descriptor, and returns the descriptor, which the caller then owns. Data that was read
// before is not in the socket any more.
func (c *Conn) Detach() (fd int, err error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return -1, c.opError("detach", net.ErrClosed)
	}
	c.closed = true
	err = syscall.EpollCtl(c.poller.epoll, syscall.EPOLL_CTL_DEL, c.fd, nil)
	fd = c.fd
	c.mu.Unlock()
	c.poller.freeSlot(c)
	c.in.signal()
	c.out.signal()
	if err != nil {
		return -1, errors.Join(c.opError("detach", os.NewSyscallError("epoll_ctl", err)), syscall.Close(fd))
	}
	return fd, nil
}

// CloseWrite shuts down the sending side of the connection.
func (c *Conn) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("close", net.ErrClosed)
	}
	if err := syscall.Shutdown(c.fd, syscall.SHUT_WR); err != nil {
		return c.opError("close", os.NewSyscallError("shutdown", err))
	}
	return nil
}

// OnEnd registers f to be called when the connection is broken, closed in both directions, or closed by Close, even if no
// read is in progress. If this has happened already, OnEnd calls f immediately. A peer that has only closed its sending side
// (shutdown with SHUT_WR) may still read answers; only reads notice this. f may be called more than once, must not block and
// must not use the connection. nil removes the callback: no new call of it starts.
func (c *Conn) OnEnd(f func()) {
	if f == nil {
		c.onEnd.Store(nil)
		return
	}
	c.onEnd.Store(&f)
	if c.ended.Load() {
		f()
	}
}

// end marks the connection as ended and calls the callback.
func (c *Conn) end() {
	c.ended.Store(true)
	if f := c.onEnd.Load(); f != nil {
		(*f)()
	}
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline implements net.Conn. It may fire up to a second late if it is more than two seconds away.
func (c *Conn) SetDeadline(t time.Time) error {
	c.in.setDeadline(t)
	c.out.setDeadline(t)
	return nil
}

// SetReadDeadline implements net.Conn, with the tolerance of SetDeadline.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(t)
	return nil
}

// SetWriteDeadline implements net.Conn, with the tolerance of SetDeadline.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(t)
	return nil
}

// SyscallConn implements syscall.Conn. The result supports Control only, to inspect or duplicate the descriptor.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return rawConn{c}, nil }

func (c *Conn) read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	return retryInterrupted(func() (int, error) { return syscall.Read(c.fd, b) })
}

func (c *Conn) write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	return retryInterrupted(func() (int, error) { return syscall.Write(c.fd, b) })
}

// retryInterrupted repeats a system call while a signal interrupts it.
func retryInterrupted(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != syscall.EINTR { //nolint:errorlint // system calls return plain numbers
			return n, err
		}
	}
}

func (c *Conn) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// rawConn implements syscall.RawConn for a Conn.
type rawConn struct{ c *Conn }

func (r rawConn) Control(f func(fd uintptr)) error {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if r.c.closed {
		return r.c.opError("raw-control", net.ErrClosed)
	}
	f(uintptr(r.c.fd))
	return nil
}

func (r rawConn) Read(func(fd uintptr) bool) error {
	return r.c.opError("raw-read", errors.ErrUnsupported)
}

func (r rawConn) Write(func(fd uintptr) bool) error {
	return r.c.opError("raw-write", errors.ErrUnsupported)
}
