package cache

import (
	"cmp"
	"context"
	"math/rand/v2"
	"time"
)

// Entry is the cached result for one key. Callers share the value and must not change it.
type Entry[V any] struct {
	Value V
	Found bool     // false if the source has nothing under the key
	Tags  []string // tags by which it can be invalidated, in addition to its key
}

// KeyCodec converts keys to text and back, for the second level, the other nodes and patterns.
type KeyCodec[K comparable] struct {
	Name  func(K) string
	Parse func(string) (K, error)
}

// Second configures how values are stored in the second level.
type Second[V any] struct {
	TTL     time.Duration // validity of a found value; also the longest effect of an invalidation that the level lost
	MissTTL time.Duration // validity of "not found"; zero means that it is not stored
	Encode  func(dst []byte, v V) []byte
	Decode  func([]byte) (V, error) // a value that it rejects is loaded again
}

// Options configure a Cache. Name, Load, Keys, Entries and TTL are required; the zero value of any other field selects its default.
type Options[K comparable, V any] struct {
	Name string // name of the cache in the cluster: one word, which must never be reused for another meaning
	Load Loader[K, V]
	Keys KeyCodec[K]

	Entries      int           // capacity of the first level; beyond it, the entry least likely to be used again is evicted
	TTL          time.Duration // validity of a found value in the first level
	MissTTL      time.Duration // validity of "not found"; zero means that it is neither cached nor shared with later callers
	Jitter       float64       // random share by which each TTL is shortened, so that entries do not expire together; default 0.1, negative for none
	StaleIfError time.Duration // how long a found value is still served while the source fails; default 0
	RefreshAhead bool          // in the second half of a TTL, the first caller loads the value again while the others still get the old one
	Timeout      time.Duration // limit of one load; default 5 s
	Now          func() time.Time

	Shared *Shared    // nil if this node has no others to share with
	Second *Second[V] // nil if values stay in the first level; Shared then only carries invalidations
}

// Loader reads keys from the source and returns their entries in the order of keys. An error means that the source could not be
// read; "not found" is an entry.
type Loader[K comparable, V any] func(ctx context.Context, keys []K) ([]Entry[V], error)

// check panics on options that only a programming error can produce.
func (o *Options[K, V]) check() {
	if o.Name == "" || o.Load == nil || o.Keys.Name == nil || o.Keys.Parse == nil || o.Entries < 1 || o.TTL <= 0 {
		panic("cache " + o.Name + ": Name, Load, Keys, Entries and TTL must be given")
	}
	if o.Second != nil && (o.Shared == nil || o.Second.TTL <= 0 || o.Second.Encode == nil || o.Second.Decode == nil) {
		panic("cache " + o.Name + ": Second needs Shared, a TTL, Encode and Decode")
	}
}

func (o Options[K, V]) withDefaults() Options[K, V] {
	o.Jitter = cmp.Or(o.Jitter, 0.1)
	o.Timeout = cmp.Or(o.Timeout, 5*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// generations returns how long generations must be stored: longer than any value that was stored under the previous generation,
// including values that were being written when it was replaced. It returns zero without a second level.
func (o *Options[K, V]) generations() time.Duration {
	if o.Second == nil {
		return 0
	}
	return 2*max(o.Second.TTL, o.Second.MissTTL) + 2*o.Timeout + time.Minute
}

// jittered shortens ttl by a random part of share.
func jittered(ttl time.Duration, share float64) time.Duration {
	if share <= 0 {
		return ttl
	}
	return ttl - time.Duration(rand.Float64()*share*float64(ttl))
}
