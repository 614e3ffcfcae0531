package gateway

import (
	"context"

	"github.com/esh3artech/esh3ar/internal/fairshare"
)

// memory bounds the bytes of buffered request and response bodies above 16 KiB: a quarter for owners without an accepted
// credential, the rest for proven ones. Each owner has a share of its part.
type memory struct {
	strangers, proven *fairshare.Pool[owner]
}

// minOwnerMemory is what one owner may always use while it is free, in bytes: twice the longest body of a single call.
const minOwnerMemory = 2 * maxBody

func newMemory(total int64) memory {
	return memory{
		strangers: fairshare.New[owner](fairshare.Options{Name: "memory_strangers", Total: total / 4, Guaranteed: minOwnerMemory}),
		proven:    fairshare.New[owner](fairshare.Options{Name: "memory", Total: total - total/4, Guaranteed: minOwnerMemory}),
	}
}

// of returns the pool of an owner.
func (m *memory) of(who owner) *fairshare.Pool[owner] {
	if who.proven {
		return m.proven
	}
	return m.strangers
}

// enterLarge acquires a slot for a large call: its body or response is so long that the client's speed decides how long it
// holds a node's slot. Owners have shares of the large slots. The call waits at most QueueTimeout.
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
