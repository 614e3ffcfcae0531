package netpoll

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"syscall"
)

// Listener accepts connections that its Poller watches.
type Listener struct {
	net.Listener
	poller *Poller
	file   *os.File // duplicate of the socket; connections are accepted from it
	raw    syscall.RawConn
	closed atomic.Bool
}

// Listen returns a listener whose connections the Poller watches. It takes over inner, which must not be used any longer.
func (p *Poller) Listen(inner net.Listener) (net.Listener, error) {
	socket, ok := inner.(syscall.Conn)
	if !ok {
		return nil, fmt.Errorf("netpoll: %T has no socket", inner)
	}
	fd, err := duplicate(socket)
	if err != nil {
		return nil, fmt.Errorf("netpoll: duplicate %s: %w", inner.Addr(), err)
	}
	l := &Listener{Listener: inner, poller: p, file: os.NewFile(uintptr(fd), "listener")}
	if l.raw, err = l.file.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("netpoll: watch %s: %w", inner.Addr(), err), l.file.Close())
	}
	return l, nil
}

func duplicate(socket syscall.Conn) (fd int, err error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return -1, err
	}
	failed := raw.Control(func(old uintptr) {
		n, _, errno := syscall.Syscall(syscall.SYS_FCNTL, old, syscall.F_DUPFD_CLOEXEC, 0)
		fd = int(n)
		if errno != 0 {
			err = errno
		}
	})
	return fd, errors.Join(failed, err)
}

// Accept implements net.Listener. Like those of package net, errors such as too many open files have a method Temporary that
// returns true.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		fd, from, err := l.accept()
		switch {
		case errors.Is(err, syscall.ECONNABORTED):
			continue // the peer has closed it already
		case l.closed.Load():
			return nil, l.opError(net.ErrClosed)
		case err != nil:
			return nil, l.opError(os.NewSyscallError("accept4", err))
		}
		c, err := l.newConn(fd, from)
		if err != nil {
			return nil, l.opError(temporaryError{errors.Join(err, syscall.Close(fd))})
		}
		return c, nil
	}
}

// temporaryError is an error of one connection, such as a lack of kernel memory. The next Accept may succeed.
type temporaryError struct{ error }

func (temporaryError) Temporary() bool { return true }
func (p temporaryError) Unwrap() error { return p.error }

func (l *Listener) accept() (fd int, from syscall.Sockaddr, err error) {
	closed := l.raw.Read(func(listener uintptr) bool {
		for {
			fd, from, err = syscall.Accept4(int(listener), syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC)
			if err != syscall.EINTR { //nolint:errorlint // system calls return plain numbers
				return err != syscall.EAGAIN //nolint:errorlint // as above
			}
		}
	})
	if closed != nil {
		return -1, nil, closed
	}
	return fd, from, err
}

// keepAlive is the idle time before the first TCP keep-alive probe and the time between probes, in seconds. Package net uses
// the same value.
const keepAlive = 15

// newConn sets the socket options that package net sets and starts to watch the connection.
func (l *Listener) newConn(fd int, from syscall.Sockaddr) (*Conn, error) {
	for _, o := range []struct{ level, name, value int }{
		{syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1},
		{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, keepAlive},
		{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, keepAlive},
	} {
		if err := syscall.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return nil, os.NewSyscallError("setsockopt", err)
		}
	}
	local, err := syscall.Getsockname(fd)
	if err != nil {
		return nil, os.NewSyscallError("getsockname", err)
	}
	c := &Conn{poller: l.poller, fd: fd, local: address(local), remote: address(from), in: newDirection(), out: newDirection()}
	return c, l.poller.watch(c)
}

func address(of syscall.Sockaddr) net.Addr {
	switch a := of.(type) {
	case *syscall.SockaddrInet4:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port}
	case *syscall.SockaddrInet6:
		return &net.TCPAddr{IP: a.Addr[:], Port: a.Port, Zone: zone(a.ZoneId)}
	default:
		return &net.TCPAddr{}
	}
}

// zone returns the interface name of a link-local address, or its index if the interface is unknown.
func zone(id uint32) string {
	if id == 0 {
		return ""
	}
	link, err := net.InterfaceByIndex(int(id))
	if err != nil {
		return fmt.Sprint(id)
	}
	return link.Name
}

// Close implements net.Listener. Connections stay open.
func (l *Listener) Close() error {
	l.closed.Store(true)
	return errors.Join(l.Listener.Close(), l.file.Close())
}

func (l *Listener) opError(err error) error {
	return &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: err}
}
