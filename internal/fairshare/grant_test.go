package fairshare_test

import (
	"context"
	"errors"
	"testing"

	"github.com/esh3artech/esh3ar/internal/fairshare"
)

// endingContext is canceled when a caller begins to wait for it.
type endingContext struct {
	context.Context
	before func() // called once, when the caller waits
	cancel context.CancelFunc
}

func (c *endingContext) Done() <-chan struct{} {
	if before := c.before; before != nil {
		c.before = nil
		before()
		c.cancel()
	}
	return c.Context.Done()
}

// TestPool_GrantedAndCanceledAtOnce_LosesNothing grants a call at the moment its context ends: either the call gets the unit, or the unit is
// returned. Both outcomes are possible, so the test repeats.
func TestPool_GrantedAndCanceledAtOnce_LosesNothing(t *testing.T) {
	t.Parallel()
	p := fairshare.New[string](fairshare.Options{Total: 1})
	refused := 0
	for range 100 {
		if err := p.TryAcquire("holder", 1); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		err := p.Acquire(&endingContext{Context: ctx, cancel: cancel, before: func() { p.Release("holder", 1) }}, "waiter", 1)
		switch {
		case err == nil:
			p.Release("waiter", 1)
		case errors.Is(err, context.Canceled):
			refused++
		default:
			t.Fatal(err)
		}
		if s := p.Stats(); s.InUse != 0 || s.Owners != 0 || s.Waiting != 0 {
			t.Fatalf("after an Acquire that returned %v: got %+v, want nothing in use", err, s)
		}
	}
	if refused == 0 || refused == 100 {
		t.Errorf("got %d of 100 calls canceled, want both outcomes", refused)
	}
}
