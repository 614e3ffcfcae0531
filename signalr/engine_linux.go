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

// errNoPoller is what platforms without a poller answer; here there is one.
var errNoPoller = errors.New("signalr: no poller on this platform")

const (
	pollerEvents = 256      // sockets served per look
	pollerRead   = 64 << 10 // bytes read from one socket before the next has its turn
)

// poller is one network loop: an epoll descriptor with many sockets, and one goroutine.
//
// The naive loop blocks in epoll_wait, and with it a thread and, until the scheduler notices, one of the few processors
// of Go. An epoll descriptor can itself be watched, though: so it lies in the poller of Go's runtime like any socket,
// the goroutine sleeps there, and wakes to take all that is ready in one look. A descriptor that is registered
// edge-triggered, as the runtime does, reports again when a socket becomes ready after a look that found nothing; so
// only such a look may be followed by sleep.
//
// All reads and the close of a socket happen on the loop's goroutine: a descriptor number that somebody else closed may
// belong to another connection by the time of the read. Others ask for the end by shutdown, which the loop sees.
type poller struct {
	file     *os.File
	raw      syscall.RawConn
	epoll    int
	read     []byte
	runnable [1]metrics.Sample // goroutines that wait for a processor

	mu     sync.Mutex
	wires  []*pollWire // by slot, which is what epoll hands back
	free   []int32
	closed bool
}

func newPoller() (*poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	// Only descriptors that do not block are given to the runtime's poller.
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

// run is the loop. It returns when the poller is closed, or with an error, and then its sockets are closed.
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

// pollerNap is how long is not looked while goroutines wait for a processor: about ten of them have their turn on each meanwhile.
const pollerNap = 200 * time.Microsecond

// sleepUntil returns when look does: at once, or woken by the runtime. The runtime looks for what is ready when a processor
// is idle, and else every ten milliseconds; where none may be idle for long, the sleep ends after a nap.
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

// adopt takes a socket from net/http. It reports false, and leaves the socket alone, when that has no descriptor of its
// own to watch.
func (p *poller) adopt(nc net.Conn, early []byte, l *webSocket) (bool, error) {
	w := &pollWire{poller: p, link: l}
	if err := w.take(nc); w.fd < 0 {
		return false, err
	}
	if !p.place(w) {
		w.release()
		return true, ErrServerStopped
	}
	// Nobody reads the socket before it is watched, so what came with the request can be handled here.
	l.attach(w)
	if len(early) > 0 {
		l.input(append([]byte(nil), early...))
	}
	w.watch()
	return true, nil
}

// descriptorOwner is a connection that can give its descriptor away, instead of a duplicate. The new owner is asked by end to end the
// connection, and calls closed once it has closed the descriptor.
type descriptorOwner interface {
	Handover(end func()) (fd int, closed func(), err error)
}

// take makes the connection's descriptor, or a duplicate, the wire's; fd is -1 if there is none to have.
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
	// The duplicate keeps the socket open; the connection's own descriptor goes out of the runtime's poller with this.
	_ = nc.Close()
	return nil
}

// release closes the descriptor.
func (w *pollWire) release() {
	_ = syscall.Close(w.fd) // leaves epoll with it; the error has no receiver
	if w.closedDescriptor != nil {
		w.closedDescriptor()
	}
}

// duplicate returns a descriptor of our own for the connection's socket, or -1 when there is none to have.
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

// place gives the wire a slot; false when the poller is closed.
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
