package netpoll

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/esh3artech/esh3ar/internal/runtime/sysload"
)

// maxEvents bounds the events of one poll. The next poll returns the others.
const maxEvents = 256

// Poller watches the connections of its listeners.
//
// Its epoll descriptor is registered with the runtime's poller like a socket, so that the Poller blocks there while no socket
// is ready. The runtime registers descriptors edge-triggered: a descriptor reports again only after a poll that returned no
// events. So the Poller blocks only after an empty poll.
type Poller struct {
	// OnPanic is called with the cause of a panic in a connection's callback; the connection is closed and the Poller goes
	// on. It must be set before Run. nil: panics are not recovered.
	OnPanic func(cause any)
	// WriteTimeout bounds a Write that blocks, in addition to the time that its bytes take at minWriteRate; zero: 30 s. It
	// must be set before Run.
	WriteTimeout time.Duration

	file   *os.File
	raw    syscall.RawConn
	epoll  int
	queue  sysload.RunQueue
	events [maxEvents]syscall.EpollEvent

	mu             sync.Mutex
	conns          []*Conn // by slot; nil: the slot is free. An epoll event carries slot and generation
	free           []int32 // free slots
	lastGeneration int32   // generation of the newest connection; may wrap around
}

// New returns a Poller. It works while Run runs, and Run closes it.
func New() (*Poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("netpoll: create epoll: %w", err)
	}
	// os.NewFile registers only non-blocking descriptors with the runtime's poller.
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(fmt.Errorf("netpoll: set epoll non-blocking: %w", err), syscall.Close(fd))
	}
	p := &Poller{file: os.NewFile(uintptr(fd), "epoll"), epoll: fd}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("netpoll: watch epoll: %w", err), p.file.Close())
	}
	return p, nil
}

// Run dispatches events until ctx is done, and then returns nil. All connections must be closed before: calls on open ones
// would block.
func (p *Poller) Run(ctx context.Context) error {
	var sweeper sync.WaitGroup
	defer sweeper.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	sweeper.Go(func() { p.sweep(ctx) })
	unhook := context.AfterFunc(ctx, func() { _ = p.file.Close() }) // no data can be lost
	defer unhook()
	for {
		n, err := p.poll()
		if n == 0 && err == nil {
			n, err = p.sleep()
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("netpoll: %w", err)
		}
		p.dispatch(n)
	}
}

// poll fills p.events with ready sockets without blocking and returns their number.
func (p *Poller) poll() (int, error) {
	var n int
	var err error
	for {
		n, err = syscall.EpollWait(p.epoll, p.events[:], 0)
		if err != syscall.EINTR { //nolint:errorlint // system calls return plain numbers
			return max(n, 0), err
		}
	}
}

// busyPollInterval is the time between polls while goroutines wait for a processor. About ten goroutines run on each
// processor in this time; an empty poll costs a hundredth of it.
const busyPollInterval = 200 * time.Microsecond

// sleep blocks until a socket is ready and polls. If goroutines wait for a processor, it returns after busyPollInterval at
// the latest, because the runtime does not poll in time then.
func (p *Poller) sleep() (int, error) {
	var n int
	var until time.Time
	if p.queue.Runnable() > 0 {
		until = time.Now().Add(busyPollInterval)
	}
	if err := p.file.SetReadDeadline(until); err != nil {
		return 0, err
	}
	var looked error
	slept := p.raw.Read(func(uintptr) bool {
		n, looked = p.poll()
		return n > 0 || looked != nil
	})
	if errors.Is(slept, os.ErrDeadlineExceeded) {
		return 0, nil
	}
	return n, errors.Join(slept, looked)
}

// Events of a socket: the peer has closed its sending side, and the connection is closed in both directions or broken. epoll
// always reports the latter.
const (
	inputEnded = syscall.EPOLLRDHUP
	ended      = syscall.EPOLLHUP | syscall.EPOLLERR
)

// dispatch notifies the connections of the first n events. A slot may have been reused since the poll; the generation keeps
// an event of the previous connection from reaching the new one.
func (p *Poller) dispatch(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.events[:n] {
		c, what := p.conns[p.events[i].Fd], p.events[i].Events
		if c != nil && c.generation == p.events[i].Pad {
			p.notify(c, what)
		}
	}
}

// notify signals the events to one connection. A panic of its callback closes this connection only.
func (p *Poller) notify(c *Conn, what uint32) {
	if p.OnPanic != nil {
		defer p.recoverFrom(c)
	}
	if what&(inputEnded|ended) != 0 {
		c.inputEnded.Store(true)
	}
	if what&ended != 0 {
		c.end()
	}
	if what&(syscall.EPOLLIN|inputEnded|ended) != 0 {
		c.in.signal()
	}
	if what&(syscall.EPOLLOUT|ended) != 0 {
		c.out.signal()
	}
}

// recoverFrom closes a connection whose callback has panicked. It closes in another goroutine, because Close takes p.mu,
// which the caller holds.
func (p *Poller) recoverFrom(c *Conn) {
	if cause := recover(); cause != nil {
		p.OnPanic(cause)
		go func() { _ = c.Close() }() // returns immediately
	}
}

// sweepInterval is how late a distant deadline may fire.
const sweepInterval = time.Second

// sweep signals connections whose deadline has passed. A timer for each connection would have to be reset several times per
// request.
func (p *Poller) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			p.expire(now)
		}
	}
}

func (p *Poller) expire(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		if c == nil {
			continue
		}
		if c.in.expired(now) {
			c.in.signal()
		}
		if c.out.expired(now) {
			c.out.signal()
		}
	}
}

// watch registers a connection.
func (p *Poller) watch(c *Conn) error {
	p.addSlot(c)
	err := syscall.EpollCtl(p.epoll, syscall.EPOLL_CTL_ADD, c.fd, &syscall.EpollEvent{
		Events: syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | edgeTriggered, Fd: c.slot, Pad: c.generation,
	})
	if err != nil {
		p.freeSlot(c)
		return os.NewSyscallError("epoll_ctl", err)
	}
	return nil
}

// edgeTriggered is EPOLLET, which package syscall defines as a negative number.
const edgeTriggered = 1 << 31

func (p *Poller) addSlot(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastGeneration++
	c.generation = p.lastGeneration
	if last := len(p.free) - 1; last >= 0 {
		c.slot = p.free[last]
		p.free, p.conns[c.slot] = p.free[:last], c
		return
	}
	c.slot = int32(len(p.conns)) // fits: the limit of open files bounds it
	p.conns = append(p.conns, c)
}

func (p *Poller) freeSlot(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c.slot] = nil
	p.free = append(p.free, c.slot)
}
