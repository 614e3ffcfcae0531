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
	poller        *Poller
	slot, number  int32 // where the poller has it; which it is of those that had the slot
	local, remote net.Addr
	in, out       side
	inputEnded    atomic.Bool // the peer sends no more, which it may still wait for answers after: reads never wait
	ended         atomic.Bool // the connection is over in both directions, or broken
	onEnd         atomic.Pointer[func()]

	reading sync.Mutex
	drained bool // the last read took all that was there (epoll(7): a short read says so); the reader's

	writing sync.Mutex

	mu     sync.Mutex // around each use of fd, and its close: the number may be another connection's after it
	fd     int
	closed bool
}

var (
	_ net.Conn     = (*Conn)(nil)
	_ syscall.Conn = (*Conn)(nil)
)

// Read reads what is there, or waits for it. It fails with io.EOF, os.ErrDeadlineExceeded, net.ErrClosed, or what the system says, as
// *net.OpError but for the first.
func (c *Conn) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	for {
		if n, err := c.readNow(b); n > 0 || err != nil {
			return n, err
		}
		c.in.wait()
		c.drained = false
	}
}

// ReadOr reads what is there. Where nothing is, it gives 0 and nil, and f is called once when that has changed: when something has
// come, the peer or the system has given the connection up, the deadline has passed or somebody has closed it. f must be quick and
// must not use the connection. Nobody may read meanwhile.
func (c *Conn) ReadOr(b []byte, f *func()) (int, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	for {
		if n, err := c.readNow(b); n > 0 || err != nil {
			return n, err
		}
		c.drained = false // when f is called
		if c.in.await(f) {
			return 0, nil
		}
	}
}

// readNow reads what is there; 0 and nil: nothing.
func (c *Conn) readNow(b []byte) (int, error) {
	if c.in.late(time.Now()) {
		return 0, c.fault("read", os.ErrDeadlineExceeded)
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
	return 0, c.fault("read", err)
}

// A peer that does not read must not hold a writer for ever: a Write that had to wait fails after Poller.WritePatience and the time that
// slowestRate takes for its bytes, also where it has no deadline.
const (
	writePatience = 30 * time.Second // default of Poller.WritePatience
	slowestRate   = 16 << 10         // bytes per second
)

// writeWithin returns how long a Write of n bytes may take once it had to wait.
func (p *Poller) writeWithin(n int) time.Duration {
	patience := p.WritePatience
	if patience == 0 {
		patience = writePatience
	}
	return patience + time.Duration(n)*time.Second/slowestRate
}

// Write writes all of b, and waits where the peer does not read: until the write deadline, or for as long as writeWithin allows.
func (c *Conn) Write(b []byte) (written int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	defer c.out.limit.Store(0)
	for written < len(b) {
		if c.out.late(time.Now()) {
			return written, c.fault("write", os.ErrDeadlineExceeded)
		}
		n, err := c.write(b[written:])
		switch {
		case err == nil:
			written += n
		case errors.Is(err, syscall.EAGAIN):
			c.out.limitOnce(time.Now().Add(c.poller.writeWithin(len(b))))
			c.out.wait()
		default:
			return written, c.fault("write", err)
		}
	}
	return written, nil
}

// Close ends reads and writes that wait, and forgets what was written and not sent only if the system does.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return c.fault("close", net.ErrClosed)
	}
	c.closed = true
	// Who has a duplicate of the descriptor would keep it watched.
	err := errors.Join(syscall.EpollCtl(c.poller.epoll, syscall.EPOLL_CTL_DEL, c.fd, nil), syscall.Close(c.fd))
	c.mu.Unlock()
	c.poller.unplace(c)
	c.end()
	c.in.tell()
	c.out.tell()
	if err != nil {
		return c.fault("close", err)
	}
	return nil
}

// Detach ends the connection as Close does but leaves its descriptor open and returns it: it is the caller's then. What has
// been read is not in it any more.
func (c *Conn) Detach() (fd int, err error) {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return -1, c.fault("detach", net.ErrClosed)
	}
	c.closed = true
	err = syscall.EpollCtl(c.poller.epoll, syscall.EPOLL_CTL_DEL, c.fd, nil)
	fd = c.fd
	c.mu.Unlock()
	c.poller.unplace(c)
	c.in.tell()
	c.out.tell()
	if err != nil {
		return -1, errors.Join(c.fault("detach", os.NewSyscallError("epoll_ctl", err)), syscall.Close(fd))
	}
	return fd, nil
}

// CloseWrite tells the peer that no more comes.
func (c *Conn) CloseWrite() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.fault("close", net.ErrClosed)
	}
	if err := syscall.Shutdown(c.fd, syscall.SHUT_WR); err != nil {
		return c.fault("close", os.NewSyscallError("shutdown", err))
	}
	return nil
}

// OnEnd has f called when the connection is broken, over in both directions or closed here: also while no read runs, and at once
// where it is already. A peer that only sends no more (shutdown, SHUT_WR) may wait for answers: that is no end, and is seen by
// reads only. f may be called more than once, must be quick and must not use the connection. After nil no new call begins.
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

// end is called when the connection is over in both directions.
func (c *Conn) end() {
	c.ended.Store(true)
	if f := c.onEnd.Load(); f != nil {
		(*f)()
	}
}

// LocalAddr is this end.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the other end.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline is for reads and writes.
func (c *Conn) SetDeadline(t time.Time) error {
	c.in.setDeadline(t)
	c.out.setDeadline(t)
	return nil
}

// SetReadDeadline may be up to a second late, if it is more than two away.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.setDeadline(t)
	return nil
}

// SetWriteDeadline may be up to a second late, if it is more than two away.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.setDeadline(t)
	return nil
}

// SyscallConn gives the descriptor, to look at it or to duplicate it.
func (c *Conn) SyscallConn() (syscall.RawConn, error) { return rawConn{c}, nil }

func (c *Conn) read(b []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	return uninterrupted(func() (int, error) { return syscall.Read(c.fd, b) })
}

func (c *Conn) write(b []byte) (n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	return uninterrupted(func() (int, error) { return syscall.Write(c.fd, b) })
}

// uninterrupted makes a system call again that a signal has interrupted.
func uninterrupted(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != syscall.EINTR { //nolint:errorlint // system calls return plain numbers
			return n, err
		}
	}
}

func (c *Conn) fault(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

// rawConn lets others use the descriptor while it is open.
type rawConn struct{ c *Conn }

func (r rawConn) Control(f func(fd uintptr)) error {
	r.c.mu.Lock()
	defer r.c.mu.Unlock()
	if r.c.closed {
		return r.c.fault("raw-control", net.ErrClosed)
	}
	f(uintptr(r.c.fd))
	return nil
}

func (r rawConn) Read(func(fd uintptr) bool) error {
	return r.c.fault("raw-read", errors.ErrUnsupported)
}

func (r rawConn) Write(func(fd uintptr) bool) error {
	return r.c.fault("raw-write", errors.ErrUnsupported)
}
