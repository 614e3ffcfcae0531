package bench

import (
	"context"
	"fmt"
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
	ld := &load{callers: make([]*caller, callers), recipients: recipients, ledger: l}
	var group errgroup.Group
	group.SetLimit(64) // the listen queue is short
	for i := range ld.callers {
		group.Go(func() (err error) {
			ld.callers[i], err = dialCaller(ctx, addrs[i%len(addrs)], format, size)
			return err
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
