package presence

import (
	"context"
	"time"

	"github.com/esh3artech/esh3ar"
)

// sayAll keeps presence until ctx ends, and then takes it back.
func (r *Router) sayAll(ctx context.Context, engine Holder) {
	work := context.WithoutCancel(ctx) // what is under way is not broken off
	ticker := time.NewTicker(renewEvery)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticker.C:
			r.renew(work, engine)
		case <-r.changed:
			if r.say(work, engine) {
				wake(r.changed) // there may be more; between batches a share may be renewed
			}
		}
	}
	r.leave(work, engine)
}

// say says the presence of one batch of marked recipients; false: none is marked.
func (r *Router) say(ctx context.Context, engine Holder) bool {
	asked := r.turn()
	if asked == nil {
		return false
	}
	assert, retract := r.decide(holds(engine, asked))
	asserted := r.assert(ctx, assert)
	retracted := r.retract(ctx, retract)
	r.mu.Lock()
	compare := r.mu.board.Said(asserted, retracted)
	r.mu.Unlock()
	if len(compare) > 0 {
		engine.Asserted(compare)
	}
	return true
}

func (r *Router) turn() []esh3ar.Recipient {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.board.Turn()
}

func (r *Router) decide(held []bool) (assert, retract []esh3ar.Recipient) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.board.Say(held)
}

// renew asserts one share of the recipients again.
func (r *Router) renew(ctx context.Context, engine Holder) {
	r.mu.Lock()
	share, ok := r.mu.board.Renew()
	r.mu.Unlock()
	if !ok {
		return
	}
	held := engine.Held(share)
	var err error
	said := 0
	for ; said < len(held) && err == nil; said += sayBatch {
		err = r.assert(ctx, held[said:min(said+sayBatch, len(held))])
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.board.Renewed(len(held), err)
}

func (r *Router) assert(ctx context.Context, rs []esh3ar.Recipient) error {
	return r.call(ctx, "assert presence", rs, r.opts.Presence.Assert)
}

func (r *Router) retract(ctx context.Context, rs []esh3ar.Recipient) error {
	return r.call(ctx, "retract presence", rs, r.opts.Presence.Retract)
}

func (r *Router) call(ctx context.Context, operation string, rs []esh3ar.Recipient, do func(context.Context, []esh3ar.Recipient) error) error {
	if len(rs) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	err := do(ctx, rs)
	r.failed(operation, err)
	return err
}

// leave takes back what this node said: nobody listens here any more. What it does not get to in time ends by itself.
func (r *Router) leave(ctx context.Context, engine Holder) {
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	for gone := r.turn(); gone != nil; gone = r.turn() {
		err := r.retract(ctx, gone)
		r.mu.Lock()
		r.mu.board.Said(nil, err)
		r.mu.Unlock()
		if err != nil {
			return
		}
	}
	for share := range Shares {
		held := engine.Held(share)
		for at := 0; at < len(held); at += sayBatch {
			if r.retract(ctx, held[at:min(at+sayBatch, len(held))]) != nil {
				return
			}
		}
	}
}
