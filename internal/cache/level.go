package cache

import (
	"context"
	"time"
)

// Level is the second level, which all nodes share, and the channel for their invalidations. It only saves time: it may lose data,
// be slow or be unavailable at any time. Its methods may be called concurrently, return when their context ends, and do not keep
// the slices passed to them. Keys are arbitrary text of up to a few hundred bytes.
type Level interface {
	// GetMany returns the value of each key in the order of keys, nil if there is none. It may answer from copies in this process
	// and so be out of date: the values carry generations, which are checked.
	GetMany(ctx context.Context, keys []string) ([][]byte, error)
	// Current does the same but always reads the level itself: it sees every SetMany and Delete that returned before the call,
	// unless the level lost it. Generations are read with it.
	Current(ctx context.Context, keys []string) ([][]byte, error)
	// SetMany stores one value per key for at most the TTL with the same index; a TTL is at least a millisecond. After an error any
	// of them may be stored, or may still be stored later.
	SetMany(ctx context.Context, keys []string, values [][]byte, ttls []time.Duration) error
	// Delete removes keys. Unknown keys are ignored.
	Delete(ctx context.Context, keys []string) error
	// Publish sends a text to every node that is subscribed now, including this one. A nil error does not mean that any node has
	// received it.
	Publish(ctx context.Context, text string) error
	// Subscribe calls on for each text, one at a time, until ctx ends, and reconnects after failures. It calls lost as soon as it
	// knows that texts may have been missed. The caller detects silence.
	Subscribe(ctx context.Context, on func(text string), lost func()) error
}
