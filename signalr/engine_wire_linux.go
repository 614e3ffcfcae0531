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
	begun  atomic.Bool // the loop may serve it: the bytes that came with the request have been handled

	closedDescriptor func() // called after fd was closed; nil if not needed

	mu      sync.Mutex // held for each use and the close of fd, except the reads of the loop
	watched uint32     // epoll events that are registered
	added   bool       // fd is registered with epoll
	writing bool       // the outbox waits until the socket is writable
	closed  bool
}

var _ wire = (*pollWire)(nil)

// watch registers the socket with epoll.
func (w *pollWire) watch() {
	w.begun.Store(true)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.added = true
	w.arrangeLocked(syscall.EPOLL_CTL_ADD)
}

// arrangeLocked registers the events that are needed now: readable unless reading is paused, and writable if output waits.
// epoll always reports the end of the socket.
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
	// The socket is open and owned, so this fails only for lack of memory. A socket that is not watched must be closed.
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

// ready handles the events of the socket. It runs on the loop's goroutine.
func (w *pollWire) ready(events uint32, b []byte) {
	defer w.link.conn.contain("poller")
	if !w.begun.Load() {
		return // impossible: the socket is not watched before
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
			return // epoll is level-triggered: it reports remaining input again
		}
		// The socket is closed in both directions while reading is paused. It must be closed, or epoll would report it
		// in a loop.
	}
	if err == syscall.EAGAIN { //nolint:errorlint // system calls return plain numbers
		return
	}
	w.close()
}

// close closes the descriptor. It runs on the loop's goroutine.
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

// flush writes the bytes that wait in the outbox until none are left or the socket is not writable.
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

// write writes bytes to the socket. If the socket is not writable, the loop calls flush when it is.
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

// shutdown makes the loop close the socket. If reset is set, the socket is reset, so that the kernel does not keep
// retransmitting to a peer that does not read.
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
