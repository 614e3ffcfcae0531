package cache

import (
	"context"
	"time"
)

// Level is the second level: one that all nodes share, and their way to tell each other what is no longer good. It is
// speed and never truth: it may forget, be slow or be away at any time. Its methods may be called at the same time, end
// with their context, and keep none of the slices they are given. Keys are any text of up to a few hundred bytes.
type Level interface {
	// GetMany gives the value of each key, in the order asked; nil: there is none. It may answer from copies on this side,
	// and so be behind: what is read here carries generations, and counts by them.
	GetMany(ctx context.Context, keys []string) ([][]byte, error)
	// Current does the same and asks the level itself: it sees every SetMany and Delete that returned before it was called,
	// unless the level forgot. Generations are read by it.
	Current(ctx context.Context, keys []string) ([][]byte, error)
	// SetMany stores one value per key for at most the time at the same place, which is a millisecond or more. After an
	// error any of them may be stored, or will be.
	SetMany(ctx context.Context, keys []string, values [][]byte, ttls []time.Duration) error
	// Delete removes keys; those that are not there are no error.
	Delete(ctx context.Context, keys []string) error
	// Publish hands a text to every node that subscribes now, this one too. That it returns nil does not mean that
	// anybody got it.
	Publish(ctx context.Context, text string) error
	// Subscribe calls on for each text, one at a time, until ctx ends; it finds its way back to the other side by itself.
	// It calls lost as soon as it knows that texts may have been missed. Silence is watched by the caller.
	Subscribe(ctx context.Context, on func(text string), lost func()) error
}
