package presence

import (
	"context"
	"time"

	"github.com/esh3artech/esh3ar"
)

// publishPresence publishes presence until ctx ends, then retracts all of it.
func (r *Router) publishPresence(ctx context.Context, engine LocalSessions) {
	work := context.WithoutCancel(ctx) // calls in progress are not canceled
	ticker := time.NewTicker(shardInterval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-ticker.C:
			r.renew(work, engine)
		case <-r.presenceDirty:
			if r.publishBatch(work, engine) {
				wake(r.presenceDirty) // more may be dirty; a renewal can run between two batches
			}
		}
	}
	r.retractAll(work, engine)
}

// publishBatch publishes one batch of dirty recipients. It reports whether there was one.
func (r *Router) publishBatch(ctx context.Context, engine LocalSessions) bool {
	asked := r.nextBatch()
	if asked == nil {
		return false
	}
	assert, retract := r.decide(hasSessions(engine, asked))
	asserted := r.assert(ctx, assert)
	retracted := r.retract(ctx, retract)
	r.mu.Lock()
	compare := r.mu.state.Done(asserted, retracted)
	r.mu.Unlock()
	if len(compare) > 0 {
		engine.PresenceAsserted(compare)
	}
	return true
}

func (r *Router) nextBatch() []esh3ar.Recipient {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.state.NextBatch()
}

func (r *Router) decide(held []bool) (assert, retract []esh3ar.Recipient) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.state.Decide(held)
}

// renew asserts the recipients of one shard again.
func (r *Router) renew(ctx context.Context, engine LocalSessions) {
	r.mu.Lock()
	share, ok := r.mu.state.Renew()
	r.mu.Unlock()
	if !ok {
		return
	}
	held := engine.ShardRecipients(share)
	var err error
	said := 0
	for ; said < len(held) && err == nil; said += publishBatch {
		err = r.assert(ctx, held[said:min(said+publishBatch, len(held))])
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.state.Renewed(len(held), err)
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

// retractAll retracts every entry of this node, because it no longer receives hints. Entries that it does not reach before the
// timeout expire.
func (r *Router) retractAll(ctx context.Context, engine LocalSessions) {
	ctx, cancel := context.WithTimeout(ctx, r.opts.Timeout)
	defer cancel()
	for gone := r.nextBatch(); gone != nil; gone = r.nextBatch() {
		err := r.retract(ctx, gone)
		r.mu.Lock()
		r.mu.state.Done(nil, err)
		r.mu.Unlock()
		if err != nil {
			return
		}
	}
	for share := range Shards {
		held := engine.ShardRecipients(share)
		for at := 0; at < len(held); at += publishBatch {
			if r.retract(ctx, held[at:min(at+publishBatch, len(held))]) != nil {
				return
			}
		}
	}
}
