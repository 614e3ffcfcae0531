package cache

import (
	"context"
	"math/rand/v2"
	"time"
)

// Entry is what a cache knows of one key. Values are shared by all who ask: nobody may change them.
type Entry[V any] struct {
	Value V
	Found bool     // false: there is nothing under the key
	Tags  []string // what it can be made invalid by, besides its key
}

// KeyCodec writes keys as text, for the second level, the other nodes and patterns, and reads them back.
type KeyCodec[K comparable] struct {
	Name  func(K) string
	Parse func(string) (K, error)
}

// Second tells how values lie in the second level.
type Second[V any] struct {
	TTL     time.Duration // of what was found; also how long an invalidation that the level lost stays without effect
	MissTTL time.Duration // of what is known not to be there; zero: not kept
	Encode  func(dst []byte, v V) []byte
	Decode  func([]byte) (V, error) // what it cannot read is asked for again
}

// Options make a Cache. Name, Load, Keys, Entries and TTL must be given; the zero value of another field means its default.
type Options[K comparable, V any] struct {
	Name string // of the cache in the cluster: one word, for ever of the same meaning
	Load Loader[K, V]
	Keys KeyCodec[K]

	Entries      int           // of the first level; beyond them, what is least likely to be asked for again is evicted
	TTL          time.Duration // in the first level, of what was found
	MissTTL      time.Duration // of what is known not to be there; default: not kept, and not shared with who asked later
	Jitter       float64       // each TTL is shorter by up to this share, so that not all ends at once; default 0.1, negative: none
	StaleIfError time.Duration // how long what was found still answers while the source cannot be asked; default: not at all
	RefreshAhead bool          // in the second half of a TTL the first who asks loads anew, while the others go on with the old
	Timeout      time.Duration // of one load; default 5 s
	Now          func() time.Time

	Shared *Shared    // default: this node is alone
	Second *Second[V] // default: values stay in the first level, and Shared carries invalidations only
}

// Loader asks the source for keys, and answers in their order. An error says that it could not ask; that there is nothing
// under a key is an answer.
type Loader[K comparable, V any] func(ctx context.Context, keys []K) ([]Entry[V], error)

// check panics for what only a mistake in the program can be.
func (o *Options[K, V]) check() {
	switch {
	case o.Name == "" || o.Load == nil || o.Keys.Name == nil || o.Keys.Parse == nil || o.Entries < 1 || o.TTL <= 0:
		panic("cache " + o.Name + ": Name, Load, Keys, Entries and TTL must be given")
	case o.Second != nil && (o.Shared == nil || o.Second.TTL <= 0 || o.Second.Encode == nil || o.Second.Decode == nil):
		panic("cache " + o.Name + ": Second needs Shared, a TTL, Encode and Decode")
	}
}

func (o *Options[K, V]) defaults() {
	if o.Jitter == 0 {
		o.Jitter = 0.1
	}
	if o.Timeout == 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// generations is how long generations must be kept: longer than anything that was stored under the one before, which may
// have been on its way while the new one was made. Zero: there are none.
func (o *Options[K, V]) generations() time.Duration {
	if o.Second == nil {
		return 0
	}
	return 2*max(o.Second.TTL, o.Second.MissTTL) + 2*o.Timeout + time.Minute
}

// jittered shortens a TTL by a random part of the share.
func jittered(ttl time.Duration, share float64) time.Duration {
	if share <= 0 {
		return ttl
	}
	return ttl - time.Duration(rand.Float64()*share*float64(ttl))
}
