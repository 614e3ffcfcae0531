package processes

import (
	"context"
	"slices"
	"time"
)

// lookEvery is how often a data directory is looked into that cannot be read yet: the node of an earlier run may still drain.
const lookEvery = 3 * time.Second

// fetch starts a node in each data directory in which one of an earlier run has left accepted messages, for no other can store them.
// Such a node counts as any other, and goes when the scaler decides so. It returns when all were looked into, or ctx ends.
func (t *Target) fetch(ctx context.Context) {
	unknown := t.folder.slots()
	for first := true; len(unknown) > 0; first = false {
		if !first && !rest(ctx.Done(), lookEvery) {
			return
		}
		unknown = slices.DeleteFunc(unknown, func(slot int) bool { return t.fetchFrom(slot, first) })
	}
}

// fetchFrom tells whether it is known now what is in a place.
func (t *Target) fetchFrom(slot int, first bool) bool {
	if t.taken(slot) {
		return true // it stores what there is
	}
	left, err := t.opts.Left(t.folder.data(slot))
	switch {
	case err != nil:
		if first {
			t.opts.Log.Warn("whether a node has left accepted messages cannot be seen yet; tried again", "data", t.folder.data(slot), "error", err)
		}
		return false
	case !left:
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
