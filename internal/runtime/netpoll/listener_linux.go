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
	file   *os.File // the same socket, to be accepted from
	raw    syscall.RawConn
	closed atomic.Bool
}

// Listen takes over a TCP listener: accept from the one it returns only.
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
		if fd = int(n); errno != 0 {
			err = errno
		}
	})
	return fd, errors.Join(failed, err)
}

// Accept waits for the next connection. Errors that pass, such as too many open files, say that they are temporary, as net's do.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		fd, from, err := l.accept()
		switch {
		case errors.Is(err, syscall.ECONNABORTED):
			continue // it was gone before we came
		case l.closed.Load():
			return nil, l.fault(net.ErrClosed)
		case err != nil:
			return nil, l.fault(os.NewSyscallError("accept4", err))
		}
		c, err := l.adopt(fd, from)
		if err != nil {
			return nil, l.fault(passing{errors.Join(err, syscall.Close(fd))})
		}
		return c, nil
	}
}

// passing is an error of one connection, such as a want of the system's memory: the next may be taken.
type passing struct{ error }

func (passing) Temporary() bool { return true }
func (p passing) Unwrap() error { return p.error }

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

// keepAlive is in seconds, as net sets it: how long a connection is silent before the system asks whether its peer is there, and how
// long between questions.
const keepAlive = 15

// adopt sets what package net sets, and begins to watch.
func (l *Listener) adopt(fd int, from syscall.Sockaddr) (*Conn, error) {
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
	c := &Conn{poller: l.poller, fd: fd, local: address(local), remote: address(from), in: newSide(), out: newSide()}
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

// zone is the name of a link-local address's interface.
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

// Close stops accepting; connections live on.
func (l *Listener) Close() error {
	l.closed.Store(true)
	return errors.Join(l.Listener.Close(), l.file.Close())
}

func (l *Listener) fault(err error) error {
	return &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: err}
}
