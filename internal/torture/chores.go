package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// chores are what a phone does from time to time: it shows a sign of life, without which the node spends no attempts,
// acknowledges what it put off, and asks for its history.
func (o *online) chores(ctx context.Context, random *rand.Rand) {
	for {
		if o.conn.Ping() != nil || o.acknowledgeLate() != nil {
			return
		}
		if random.IntN(100) < 12 && o.look(random) != nil {
			return
		}
		if sleep(ctx, between(random, 40*time.Millisecond, 100*time.Millisecond)) != nil {
			return
		}
	}
}

// acknowledgeLate acknowledges what is due.
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

// look calls Sync from the beginning of the round, from what was received last, or from somewhere between.
func (o *online) look(random *rand.Rand) error {
	floor, last := o.floors[o.number], o.floors[o.number]
	o.mu.Lock()
	if n := len(o.got); n > 0 {
		last = max(last, o.got[n-1].seq)
	}
	o.mu.Unlock()
	k := look{after: floor, limit: 1 + random.IntN(100), began: o.clock.now()}
	switch random.IntN(3) {
	case 0:
		k.after = last
	case 1:
		k.after = floor + random.Uint64N(last-floor+1)
	}
	return o.invoke("Sync", fmt.Sprintf("[%d,%d]", k.after, k.limit), invocation{sync: &k})
}
