package ingest

import (
	"context"

	"github.com/esh3artech/esh3ar"
)

// Calls without a key that find no room in their lane, or no turn in time, go past the store to the spill. They have a
// queue and a goroutine of their own, for the batcher may be waiting for a slow store just then. Of two calls that wait at the
// same time none began after the other was answered, so none of them overtakes.

// enqueueBeside puts the ticket into the queue for the spill.
func (in *Intake) enqueueBeside(t *ticket) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.mu.closed {
		return errStopping()
	}
	if !in.mu.beside.fits(t, &in.opts) {
		return errFull
	}
	in.mu.beside.push(t)
	in.signalPour()
	return nil
}

func (in *Intake) signalPour() {
	select {
	case in.pour <- struct{}{}:
	default:
	}
}

// pourAll keeps what goes past the store until ctx ends, then what is left.
func (in *Intake) pourAll(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-in.pour:
			in.pourBatches(ctx)
		}
	}
	in.close()
	in.pourBatches(ctx)
}

func (in *Intake) pourBatches(ctx context.Context) {
	for {
		tickets := in.takeBeside()
		if len(tickets) == 0 {
			return
		}
		in.keep(context.WithoutCancel(ctx), tickets, nil)
	}
}

func (in *Intake) takeBeside() []*ticket {
	in.mu.Lock()
	defer in.mu.Unlock()
	var b batch
	in.takeLaneLocked(&b, &in.mu.beside, in.opts.BatchMessages)
	return b.tickets
}

// shedShare is the part of Options.Memory that is freed at once when it is used up: to walk over a lane for each call that
// comes then would cost more than it frees.
const shedShare = 16

// shedLocked makes room for a ticket when all lanes together are over their memory: what waits in lower lanes, without a key,
// goes to the spill, the lowest first. It tells whether there is room then.
func (in *Intake) shedLocked(t *ticket) bool {
	over := in.bytesLocked() + t.size - in.opts.LaneMemory
	if over <= 0 {
		return true
	}
	least := max(over, in.opts.LaneMemory/shedShare)
	freed := 0
	for _, l := range in.mu.lanes[:priorityOf(t.call)] {
		for _, from := range []*line{&l.line, &l.parked} {
			if freed < least {
				freed += from.shed(&in.mu.beside, least-freed, &in.opts)
			}
		}
	}
	if freed > 0 {
		in.signalPour()
	}
	return freed >= over
}

func (in *Intake) bytesLocked() (n int) {
	for _, l := range in.mu.lanes {
		n += l.bytes + l.parked.bytes
	}
	return n
}

// shed moves tickets without a key, the oldest first, until so many bytes have left or beside is full.
func (l *line) shed(beside *line, least int, o *Options) (freed int) {
	if l.keyless == 0 {
		return 0
	}
	all := l.queue[l.head:]
	kept := l.queue[:0]
	for _, t := range all {
		if freed >= least || t.call.Key != nil || !t.left() && !beside.fits(t, o) {
			kept = append(kept, t)
			continue
		}
		freed += t.size
		l.leave(t)
		if !t.left() {
			beside.push(t)
		}
	}
	clear(l.queue[len(kept):])
	l.queue, l.head = kept, 0
	return freed
}

// Beside tells how much waits to be spilled past the store.
func (in *Intake) Beside() LaneStats {
	in.mu.Lock()
	defer in.mu.Unlock()
	return LaneStats{Priority: esh3ar.Low, Messages: in.mu.beside.messages, Bytes: in.mu.beside.bytes}
}
