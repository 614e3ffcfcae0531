package bench

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// load is a set of callers.
type load struct {
	callers    []*caller
	recipients int
	ledger     *ledger
}

// dialLoad opens the connections of the callers, distributed over the addresses round robin.
func dialLoad(ctx context.Context, addrs []string, format *callFormat, callers, recipients, size int, l *ledger) (*load, error) {
	return openLoad(callers, recipients, l, func(i int) (*caller, error) {
		return dialCaller(ctx, addrs[i%len(addrs)], format, size)
	}, nil)
}

// dialBusinesses opens the connections of callers of several businesses on several hosts, as many API clients are in reality:
// a node bounds the connections of one business, and those of one address before their first call. So each caller makes a
// call at once.
func dialBusinesses(ctx context.Context, s *server, callers, recipients, size int, l *ledger) (*load, error) {
	const businesses, hosts = 8, 32
	formats := make([]*callFormat, businesses)
	for i := range formats {
		key, err := newBusiness(ctx, s, fmt.Sprintf("caller %d", i), "default")
		if err != nil {
			return nil, err
		}
		formats[i] = messageFormat(key)
	}
	return openLoad(callers, recipients, l, func(i int) (*caller, error) {
		host := net.IPv4(127, 0, 1, byte(1+i%hosts))
		return dialCallerFrom(ctx, host, s.addr, formats[i%businesses], size)
	}, func(ld *load, c *caller) error { return ld.one(c, time.Now()) })
}

// openLoad dials the callers, a few at a time since the listen queue is short; first is called for each, and may be nil.
func openLoad(callers, recipients int, l *ledger, dial func(i int) (*caller, error), first func(*load, *caller) error) (*load, error) {
	ld := &load{callers: make([]*caller, callers), recipients: recipients, ledger: l}
	var group errgroup.Group
	group.SetLimit(64)
	for i := range ld.callers {
		group.Go(func() (err error) {
			if ld.callers[i], err = dial(i); err != nil || first == nil {
				return err
			}
			return first(ld, ld.callers[i])
		})
	}
	if err := group.Wait(); err != nil {
		ld.close()
		return nil, fmt.Errorf("connect callers: %w", err)
	}
	return ld, nil
}

func (ld *load) close() {
	for _, c := range ld.callers {
		if c != nil {
			_ = c.net.Close()
		}
	}
}

// closed runs a closed loop until stop: each caller calls again as soon as it is answered.
func (ld *load) closed(stop <-chan struct{}) error {
	return ld.each(func(c *caller) error {
		for {
			select {
			case <-stop:
				return nil
			default:
			}
			if err := ld.one(c, time.Now()); err != nil {
				return err
			}
		}
	})
}

// count makes calls, each caller as soon as it is answered, until a number of them are accepted. It repeats refused calls after
// a pause, and gives up when it has been refused as often as calls were asked for.
func (ld *load) count(ctx context.Context, calls int) error {
	var left, refusals atomic.Int64
	left.Store(int64(calls))
	return ld.each(func(c *caller) error {
		for left.Add(-1) >= 0 {
			n := ld.ledger.begin(time.Now())
			status, _, err := c.call(n, recipientOf(n%ld.recipients))
			if err != nil {
				return fmt.Errorf("call %d: %w", n, err)
			}
			if status == http.StatusAccepted {
				ld.ledger.accepted.Add(1)
				continue
			}
			if refusals.Add(1) >= int64(calls) {
				return fmt.Errorf("%d calls of %d were refused, the last with status %d", refusals.Load(), calls, status)
			}
			left.Add(1)
			if err := pause(ctx, refusalPause); err != nil {
				return err
			}
		}
		return context.Cause(ctx)
	})
}

// refusalPause is the pause of count after a refused call.
const refusalPause = 10 * time.Millisecond

// open runs an open loop at a fixed rate. A call that finds no free caller starts late; its latency includes the delay.
func (ld *load) open(rate float64, stop <-chan struct{}) error {
	start := time.Now()
	var turn atomic.Int64
	gap := float64(time.Second) / rate
	return ld.each(func(c *caller) error {
		timer := time.NewTimer(0)
		defer timer.Stop()
		for {
			due := start.Add(time.Duration(float64(turn.Add(1)-1) * gap))
			timer.Reset(time.Until(due))
			select {
			case <-stop:
				return nil
			case <-timer.C:
			}
			if err := ld.one(c, due); err != nil {
				return err
			}
		}
	})
}

func (ld *load) one(c *caller, due time.Time) error {
	n := ld.ledger.begin(due)
	status, _, err := c.call(n, recipientOf(n%ld.recipients))
	if err != nil {
		return fmt.Errorf("call %d: %w", n, err)
	}
	ld.ledger.answered(status, due)
	return nil
}

// each runs f for every caller concurrently and returns the first error.
func (ld *load) each(f func(*caller) error) error {
	var group errgroup.Group
	for _, c := range ld.callers {
		group.Go(func() error { return f(c) })
	}
	return group.Wait()
}

// stretch runs work for the warm-up and the measured time. It calls begin and end around the measured part.
func stretch(ctx context.Context, warmup, duration time.Duration, work func(stop <-chan struct{}) error, begin, end func()) error {
	stop := make(chan struct{})
	var failed error
	var done sync.WaitGroup
	done.Go(func() { failed = work(stop) })
	err := pause(ctx, warmup)
	if err == nil {
		begin()
		err = pause(ctx, duration)
		end()
	}
	close(stop)
	done.Wait()
	if err != nil {
		return err
	}
	return failed
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
