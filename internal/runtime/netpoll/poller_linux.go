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

// eventsAtOnce is how many sockets one look can find; those beyond are found by the next.
const eventsAtOnce = 256

// Poller watches the connections of its listeners.
//
// Its epoll descriptor lies in the poller of Go's runtime like a socket, so that it sleeps there while nothing is to be done. A
// descriptor that is registered edge-triggered, as the runtime does, reports again when something becomes ready after a look
// that found nothing; so only such a look may be followed by sleep.
type Poller struct {
	// Panics is told of a panic of what a connection has called when something is ready: only that connection ends. It is to be set
	// before Run; nil: a panic is not recovered.
	Panics func(cause any)
	// WritePatience bounds a Write that has to wait for its peer, before the time that its bytes take at slowestRate; zero: 30 s. It is
	// to be set before Run.
	WritePatience time.Duration

	file   *os.File
	raw    syscall.RawConn
	epoll  int
	queue  sysload.RunQueue
	events [eventsAtOnce]syscall.EpollEvent

	mu    sync.Mutex
	conns []*Conn // by slot, which is what epoll hands back, with the number
	free  []int32
	last  int32 // number of the newest; it may wrap around
}

// New makes a Poller; Run makes it work, and closes it.
func New() (*Poller, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("netpoll: create epoll: %w", err)
	}
	// Only descriptors that do not block are given to the runtime's poller.
	if err := syscall.SetNonblock(fd, true); err != nil {
		return nil, errors.Join(fmt.Errorf("netpoll: set epoll non-blocking: %w", err), syscall.Close(fd))
	}
	p := &Poller{file: os.NewFile(uintptr(fd), "epoll"), epoll: fd}
	if p.raw, err = p.file.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("netpoll: watch epoll: %w", err), p.file.Close())
	}
	return p, nil
}

// Run watches until ctx ends and returns nil then; connections that are still open wait for nothing any more, and should have been
// closed before.
func (p *Poller) Run(ctx context.Context) error {
	var sweeper sync.WaitGroup
	defer sweeper.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	sweeper.Go(func() { p.sweep(ctx) })
	unhook := context.AfterFunc(ctx, func() { _ = p.file.Close() }) // nothing was written to it
	defer unhook()
	for {
		n, err := p.look()
		if n == 0 && err == nil {
			n, err = p.sleep()
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("netpoll: %w", err)
		}
		p.wake(n)
	}
}

// look takes what is ready.
func (p *Poller) look() (n int, err error) {
	for {
		n, err = syscall.EpollWait(p.epoll, p.events[:], 0)
		if err != syscall.EINTR { //nolint:errorlint // system calls return plain numbers
			return max(n, 0), err
		}
	}
}

// nap is how long is not looked while goroutines wait for a processor: about ten of them have their turn on each meanwhile. A look
// that finds nothing, and what is around it, costs a hundredth of that.
const nap = 200 * time.Microsecond

// sleep waits until something is ready; and for no longer than a nap where no processor may be idle for so long that the runtime
// would look.
func (p *Poller) sleep() (n int, err error) {
	var until time.Time
	if p.queue.Runnable() > 0 {
		until = time.Now().Add(nap)
	}
	if err := p.file.SetReadDeadline(until); err != nil {
		return 0, err
	}
	var looked error
	slept := p.raw.Read(func(uintptr) bool {
		n, looked = p.look()
		return n > 0 || looked != nil
	})
	if errors.Is(slept, os.ErrDeadlineExceeded) {
		return 0, nil
	}
	return n, errors.Join(slept, looked)
}

// What epoll reports of a socket: that its peer sends no more, and that it is over in both directions or broken. The latter it
// reports unasked.
const (
	inputEnded = syscall.EPOLLRDHUP
	ended      = syscall.EPOLLHUP | syscall.EPOLLERR
)

// wake tells the connections that are ready. A slot may have got another owner since, whose number is another: what is said of the one
// before, its end above all, is not for that one.
func (p *Poller) wake(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.events[:n] {
		c, what := p.conns[p.events[i].Fd], p.events[i].Events
		if c != nil && c.number == p.events[i].Pad {
			p.tell(c, what)
		}
	}
}

// tell tells one connection what is ready. A panic of what it calls ends that connection only.
func (p *Poller) tell(c *Conn, what uint32) {
	if p.Panics != nil {
		defer p.recoverFrom(c)
	}
	if what&(inputEnded|ended) != 0 {
		c.inputEnded.Store(true)
	}
	if what&ended != 0 {
		c.end()
	}
	if what&(syscall.EPOLLIN|inputEnded|ended) != 0 {
		c.in.tell()
	}
	if what&(syscall.EPOLLOUT|ended) != 0 {
		c.out.tell()
	}
}

// recoverFrom ends a connection whose owner has panicked. Its close takes the poller's lock, which is held here.
func (p *Poller) recoverFrom(c *Conn) {
	if cause := recover(); cause != nil {
		p.Panics(cause)
		go func() { _ = c.Close() }() // ends at once
	}
}

// sweepEvery is how late a deadline may be.
const sweepEvery = time.Second

// sweep wakes those whose deadline has passed. A timer for each connection would be set anew several times a request.
func (p *Poller) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
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
		if c.in.late(now) {
			c.in.tell()
		}
		if c.out.late(now) {
			c.out.tell()
		}
	}
}

// watch begins to watch a connection.
func (p *Poller) watch(c *Conn) error {
	p.place(c)
	err := syscall.EpollCtl(p.epoll, syscall.EPOLL_CTL_ADD, c.fd, &syscall.EpollEvent{
		Events: syscall.EPOLLIN | syscall.EPOLLOUT | syscall.EPOLLRDHUP | edgeTriggered, Fd: c.slot, Pad: c.number,
	})
	if err != nil {
		p.unplace(c)
		return os.NewSyscallError("epoll_ctl", err)
	}
	return nil
}

// edgeTriggered is EPOLLET, which package syscall has as a negative number.
const edgeTriggered = 1 << 31

func (p *Poller) place(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	c.number = p.last
	if last := len(p.free) - 1; last >= 0 {
		c.slot = p.free[last]
		p.free, p.conns[c.slot] = p.free[:last], c
		return
	}
	c.slot = int32(len(p.conns)) // bounded by the limit of open files
	p.conns = append(p.conns, c)
}

func (p *Poller) unplace(c *Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c.slot] = nil
	p.free = append(p.free, c.slot)
}
