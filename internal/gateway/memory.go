package gateway

import (
	"context"

	"github.com/esh3artech/esh3ar/internal/fairshare"
)

// memory is what bodies and answers above 16 KiB are kept in, in bytes: a quarter for strangers, the rest for proven owners. Within
// each part an owner has a share.
type memory struct {
	strangers, proven *fairshare.Pool[owner]
}

// leastMemory is what one owner may have whenever there is so much, in bytes: twice the longest body of a single call.
const leastMemory = 2 * maxBody

func newMemory(total int64) memory {
	return memory{
		strangers: fairshare.New[owner](fairshare.Options{Name: "memory_strangers", Total: total / 4, Guaranteed: leastMemory}),
		proven:    fairshare.New[owner](fairshare.Options{Name: "memory", Total: total - total/4, Guaranteed: leastMemory}),
	}
}

// of returns the part that an owner has its share in.
func (m *memory) of(who owner) *fairshare.Pool[owner] {
	if who.proven {
		return m.proven
	}
	return m.strangers
}

// enterLarge takes a place among the large calls: those whose body or answer is long enough to hold a slot at a node for as long as
// the caller takes to send or read it. Owners have shares of these places. The call waits for one as it would wait for a slot.
func (x *exchange) enterLarge(ctx context.Context) error {
	if x.large {
		return nil
	}
	if err := x.g.large.TryAcquire(x.who, 1); err != nil {
		ctx, cancel := context.WithTimeout(ctx, x.g.opts.QueueTimeout)
		defer cancel()
		if err := x.g.large.Acquire(ctx, x.who, 1); err != nil {
			return errShare
		}
	}
	x.large, x.largeOf = true, x.who
	return nil
}

func (x *exchange) leaveLarge() {
	if x.large {
		x.g.large.Release(x.largeOf, 1)
		x.large = false
	}
}
