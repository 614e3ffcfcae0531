package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// chores runs the periodic work of a phone: it pings (without pings the node spends no delivery attempts), sends
// deferred acknowledgements and calls Sync.
func (o *online) chores(ctx context.Context, random *rand.Rand) {
	for {
		if o.conn.Ping() != nil || o.acknowledgeLate() != nil {
			return
		}
		if random.IntN(100) < 12 && o.syncHistory(random) != nil {
			return
		}
		if sleep(ctx, between(random, 40*time.Millisecond, 100*time.Millisecond)) != nil {
			return
		}
	}
}

// acknowledgeLate sends the deferred acknowledgements that are due.
func (o *online) acknowledgeLate() error {
	for {
		o.mu.Lock()
		if len(o.late) == 0 || time.Now().Before(o.late[0].due) {
			o.mu.Unlock()
			return nil
		}
		list := o.late[0].pushed
		o.late = o.late[1:]
		o.mu.Unlock()
		if err := o.acknowledge("AcknowledgeMessages", list, "delivered"); err != nil {
			return err
		}
	}
}

// syncHistory calls Sync after the first seq of the round, after the last received seq, or after a seq between them.
func (o *online) syncHistory(random *rand.Rand) error {
	floor, last := o.floors[o.number], o.floors[o.number]
	o.mu.Lock()
	if n := len(o.got); n > 0 {
		last = max(last, o.got[n-1].seq)
	}
	o.mu.Unlock()
	k := syncCall{after: floor, limit: 1 + random.IntN(100), began: o.clock.now()}
	switch random.IntN(3) {
	case 0:
		k.after = last
	case 1:
		k.after = floor + random.Uint64N(last-floor+1)
	}
	return o.invoke("Sync", fmt.Sprintf("[%d,%d]", k.after, k.limit), invocation{sync: &k})
}
