package processes

import (
	"context"
	"slices"
	"time"
)

// lookEvery is the interval at which an unreadable data directory is checked again: the node of an earlier run may still be
// draining.
const lookEvery = 3 * time.Second

// fetch starts a node in each data directory in which a node of an earlier run has left accepted messages, because no other node
// can store them. Such a node counts as any other and may be stopped by the scaler. fetch returns when all directories were
// checked, or ctx ends.
func (t *Target) fetch(ctx context.Context) {
	unknown := t.folder.slots()
	for first := true; len(unknown) > 0; first = false {
		if !first && !rest(ctx.Done(), lookEvery) {
			return
		}
		unknown = slices.DeleteFunc(unknown, func(slot int) bool { return t.fetchFrom(slot, first) })
	}
}

// fetchFrom reports whether the content of a slot is known now.
func (t *Target) fetchFrom(slot int, first bool) bool {
	if t.taken(slot) {
		return true // the node in that slot stores it
	}
	left, err := t.opts.Left(t.folder.data(slot))
	if err != nil {
		if first {
			t.opts.Log.Warn("whether a node has left accepted messages cannot be seen yet; tried again", "data", t.folder.data(slot), "error", err)
		}
		return false
	}
	if !left {
		return true
	}
	t.opts.Log.Warn("a node of an earlier run has left accepted messages on its disk; it is started to store them", "data", t.folder.data(slot))
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.mu.closed && !t.takenLocked(slot) {
		c := t.child(slot)
		t.putLocked(c)
		go t.keep(c, nil) // ends with the child; Run waits for it
	}
	return true
}

func (t *Target) taken(slot int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.takenLocked(slot)
}

func (t *Target) takenLocked(slot int) bool {
	t.stayingLocked()
	return slices.ContainsFunc(t.mu.children, func(c *child) bool { return c.slot == slot })
}
