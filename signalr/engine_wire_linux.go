package signalr

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
)

// pollWire is a socket in a poller.
type pollWire struct {
	poller *poller
	link   *webSocket
	fd     int
	slot   int32
	begun  atomic.Bool // the loop may serve it: what came with the request has been handled

	closedDescriptor func() // called when fd is closed; nil: not asked for

	mu      sync.Mutex // around each use of fd but the loop's own reads, and its close
	watched uint32     // events epoll is asked for
	added   bool       // it is in epoll
	writing bool       // the outbox waits for the socket to take more
	closed  bool
}

var _ wire = (*pollWire)(nil)

// watch begins to watch the socket.
func (w *pollWire) watch() {
	w.begun.Store(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.added = true
	w.arrangeLocked(syscall.EPOLL_CTL_ADD)
}

// arrangeLocked asks epoll for what is wanted now: input unless reading is paused, room if output waits. The end of the
// socket is reported always.
func (w *pollWire) arrangeLocked(op int) {
	if w.closed || !w.added {
		return
	}
	var want uint32
	if !w.link.conn.in.paused() {
		want |= syscall.EPOLLIN
	}
	if w.writing {
		want |= syscall.EPOLLOUT
	}
	if op == syscall.EPOLL_CTL_MOD && want == w.watched {
		return
	}
	w.watched = want
	// The socket is ours and open, so only a lack of memory can make this fail; a socket that nobody watches must go.
	if err := syscall.EpollCtl(w.poller.epoll, op, w.fd, &syscall.EpollEvent{Events: want, Fd: w.slot}); err != nil {
		w.link.conn.server.opts.Logger.Error("signalr: watch socket", "error", err)
		_ = syscall.Shutdown(w.fd, syscall.SHUT_RDWR)
	}
}

func (w *pollWire) readsChanged() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.arrangeLocked(syscall.EPOLL_CTL_MOD)
}

// ready serves the socket, on the loop.
func (w *pollWire) ready(events uint32, b []byte) {
	defer w.link.conn.contain("poller")
	if !w.begun.Load() {
		return // never: it is not watched before
	}
	if events&syscall.EPOLLOUT != 0 {
		w.mu.Lock()
		resume := w.writing
		w.writing = false
		w.mu.Unlock()
		if resume {
			w.flush()
			w.mu.Lock()
			w.arrangeLocked(syscall.EPOLL_CTL_MOD)
			w.mu.Unlock()
		}
	}
	const ended = syscall.EPOLLHUP | syscall.EPOLLERR
	if events&(syscall.EPOLLIN|ended) == 0 {
		return
	}
	n, err := readSocket(w.fd, b)
	if n > 0 {
		w.link.input(b[:n])
		if events&ended == 0 || !w.link.conn.in.paused() {
			return // if there is more, epoll says so again
		}
		// Closed in both directions while the hub is too busy to hear the rest: it would be reported for ever.
	}
	if err == syscall.EAGAIN { //nolint:errorlint // system calls return plain numbers
		return
	}
	w.close()
}

// close closes the descriptor, on the loop.
func (w *pollWire) close() {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return
	}
	w.closed = true
	w.release()
	w.mu.Unlock()
	w.poller.unplace(w)
	w.link.gone()
}

// flush writes what waits until nothing does or the socket takes no more.
func (w *pollWire) flush() {
	for b := w.link.advance(0); b != nil; {
		n, err := w.write(b)
		switch {
		case err == nil:
			b = w.link.advance(n)
		case errors.Is(err, syscall.EAGAIN):
			return
		default:
			w.link.failed(err)
			return
		}
	}
}

// write hands bytes to the kernel. When that takes none, the loop is asked to go on with flush.
func (w *pollWire) write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, syscall.EPIPE
	}
	n, err := writeSocket(w.fd, b)
	if err == syscall.EAGAIN { //nolint:errorlint // system calls return plain numbers
		w.writing = true
		w.arrangeLocked(syscall.EPOLL_CTL_MOD)
	}
	return n, err
}

func (w *pollWire) finishWriting() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		_ = syscall.Shutdown(w.fd, syscall.SHUT_WR) // fails if the peer was first, which the loop sees as well
	}
}

func (w *pollWire) finish() { w.shutdown(false) }
func (w *pollWire) abort()  { w.shutdown(true) }

// shutdown makes the loop close the socket. An aborted one is reset, so that the kernel does not go on trying to send
// to a peer that does not read.
func (w *pollWire) shutdown(reset bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	if reset {
		_ = syscall.SetsockoptLinger(w.fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1}) // else it lingers
	}
	_ = syscall.Shutdown(w.fd, syscall.SHUT_RDWR) // fails if the peer was first, which the loop sees as well
}

func readSocket(fd int, b []byte) (int, error) {
	for {
		n, err := syscall.Read(fd, b)
		if err != syscall.EINTR { //nolint:errorlint // system calls return plain numbers
			return n, err
		}
	}
}

func writeSocket(fd int, b []byte) (int, error) {
	for {
		n, err := syscall.Write(fd, b)
		if err != syscall.EINTR { //nolint:errorlint // system calls return plain numbers
			return n, err
		}
	}
}
