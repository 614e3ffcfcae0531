package signalr

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/metrics"
	"slices"
	"sync"
	"syscall"
	"time"
)

// errNoPoller is the error of platforms without a poller. It is not returned on Linux.
var errNoPoller = errors.New("signalr: no poller on this platform")

const (
	pollerEvents = 256      // maximum number of events per call of epoll_wait
	pollerRead   = 64 << 10 // maximum number of bytes read from one socket before the next one is served
)

// poller is one network loop: an epoll descriptor with many sockets, and one goroutine.
//
// The naive loop blocks in epoll_wait. That blocks a thread and, until the scheduler notices, one of Go's few Ps. But an
// epoll descriptor can itself be polled. It is therefore registered with the network poller of Go's runtime like a socket:
// the goroutine sleeps there, and after it wakes, one non-blocking epoll_wait returns all ready sockets. The runtime
// registers descriptors edge-triggered, so it reports a socket that becomes ready only after an epoll_wait that returned
// no events. The goroutine may sleep only after such a call.
//
// All reads of a socket, and its close, happen on the loop's goroutine. If another goroutine closed the descriptor, its
// number could belong to another connection by the time of the read. Other goroutines call shutdown instead, which the
// loop observes.
type poller struct {
	file     *os.File
	raw      syscall.RawConn
	epoll    int
	read     []byte
	runnable [1]metrics.Sample // number of runnable goroutines

	mu     sync.Mutex
	wires  []*pollWire // by slot, the user data of epoll events
	free   []int32
	closed bool
}

func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	// The runtime's poller accepts only non-blocking descriptors.
	if err = syscall.SetNonblock(fd, true); err != nil {
		_ = syscall.Close(fd) // the first error counts
		return nil, fmt.Errorf("set epoll non-blocking: %w", err)
	}
	p := &poller{file: os.NewFile(uintptr(fd), "epoll"), epoll: fd, read: make([]byte, pollerRead)}
	p.runnable[0].Name = "/sched/goroutines/runnable:goroutines"
	if p.raw, err = p.file.SyscallConn(); err != nil {
		return nil, fmt.Errorf("watch epoll: %w", err)
	}
	return p, nil
}

// run runs the loop until the poller is closed, or until an error. It closes all sockets before it returns.
func (p *poller) run() error {
	err := p.loop()
	if err == nil {
		return nil
	}
	p.close()
	p.mu.Lock()
	orphans := slices.Clone(p.wires)
	p.mu.Unlock()
	for _, w := range orphans {
		if w != nil {
			w.close()
		}
	}
	return err
}

func (p *poller) loop() error {
	events := make([]syscall.EpollEvent, pollerEvents)
	var n int
	var failure error
	look := func(fd uintptr) bool {
		n, failure = epollLook(int(fd), events)
		return n > 0 || failure != nil
	}
	for {
		err := p.sleepUntil(look)
		switch {
		case err != nil && p.ended():
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			continue
		case err != nil:
			return fmt.Errorf("signalr: wait for epoll: %w", err)
		case failure != nil:
			return fmt.Errorf("signalr: epoll: %w", failure)
		}
		for i := range events[:n] {
			if w := p.at(events[i].Fd); w != nil {
				w.ready(events[i].Events, p.read)
			}
		}
	}
}

// pollerNap is the time between two polls while goroutines are runnable. About ten goroutines per P run in that time.
const pollerNap = 200 * time.Microsecond

// sleepUntil calls look until it returns true, at first at once and then when the runtime reports events. The runtime polls
// the network when a P is idle, otherwise only every ten milliseconds. If goroutines are runnable, sleepUntil therefore
// returns [os.ErrDeadlineExceeded] after pollerNap.
func (p *poller) sleepUntil(look func(fd uintptr) bool) error {
	metrics.Read(p.runnable[:])
	var until time.Time
	if p.runnable[0].Value.Uint64() > 0 {
		until = time.Now().Add(pollerNap)
	}
	if err := p.file.SetReadDeadline(until); err != nil {
		return err
	}
	return p.raw.Read(look)
}

func epollLook(fd int, events []syscall.EpollEvent) (int, error) {
	for {
		n, err := syscall.EpollWait(fd, events, 0)
		if err != syscall.EINTR { //nolint:errorlint // system calls return plain numbers
			return n, err
		}
	}
}

func (p *poller) at(slot int32) *pollWire {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wires[slot]
}

func (p *poller) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// close ends the loop.
func (p *poller) close() {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	if first {
		_ = p.file.Close() // nothing was written to it
	}
}

// adopt takes over a socket from net/http. It returns false, and does not change the socket, if the socket has no descriptor
// that can be polled.
func (p *poller) adopt(nc net.Conn, early []byte, l *webSocket) (bool, error) {
	w := &pollWire{poller: p, link: l}
	if err := w.take(nc); w.fd < 0 {
		return false, err
	}
	if !p.place(w) {
		w.release()
		return true, ErrServerStopped
	}
	// The loop does not read the socket before watch, so the bytes that came with the request can be handled here.
	l.attach(w)
	if len(early) > 0 {
		l.input(append([]byte(nil), early...))
	}
	w.watch()
	return true, nil
}

// descriptorOwner is a connection that can transfer its descriptor, which saves a duplicate. The old owner calls end to end
// the connection; the new owner calls closed after it has closed the descriptor.
type descriptorOwner interface {
	Handover(end func()) (fd int, closed func(), err error)
}

// take sets fd to the connection's descriptor or a duplicate of it, or to -1 if the connection has none.
func (w *pollWire) take(nc net.Conn) (err error) {
	if o, ok := nc.(descriptorOwner); ok {
		w.mu.Lock() // abort may be called before Handover returns
		w.fd, w.closedDescriptor, err = o.Handover(w.abort)
		w.mu.Unlock()
		if err == nil {
			return nil
		}
	}
	if w.fd, err = duplicate(nc); w.fd < 0 {
		return err
	}
	// The duplicate keeps the socket open. Close removes the original descriptor from the runtime's poller.
	_ = nc.Close()
	return nil
}

// release closes the descriptor.
func (w *pollWire) release() {
	_ = syscall.Close(w.fd) // also removes it from epoll; there is no one to return the error to
	if w.closedDescriptor != nil {
		w.closedDescriptor()
	}
}

// duplicate returns a duplicate of the connection's descriptor, or -1 if it has none.
func duplicate(nc net.Conn) (fd int, err error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return -1, nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("descriptor of connection: %w", err)
	}
	var dupErr error
	err = raw.Control(func(old uintptr) {
		n, _, errno := syscall.Syscall(syscall.SYS_FCNTL, old, syscall.F_DUPFD_CLOEXEC, 0)
		if fd = int(n); errno != 0 {
			fd, dupErr = -1, errno
		}
	})
	if err == nil {
		err = dupErr
	}
	if err != nil {
		return -1, fmt.Errorf("duplicate descriptor: %w", err)
	}
	return fd, nil
}

// place assigns a slot to the wire. It returns false if the poller is closed.
func (p *poller) place(w *pollWire) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	if last := len(p.free) - 1; last >= 0 {
		w.slot = p.free[last]
		p.free = p.free[:last]
		p.wires[w.slot] = w
		return true
	}
	w.slot = int32(len(p.wires))
	p.wires = append(p.wires, w)
	return true
}

func (p *poller) unplace(w *pollWire) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wires[w.slot] = nil
	p.free = append(p.free, w.slot)
}
