package auth

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
)

// Bounds of the questions about keys that this node has not seen to be good.
const (
	lookupBurst = 200             // of one address
	lookupRate  = 20              // of one address, per second
	viaProxy    = 10              // times as much for an address that many callers share: a trusted proxy or gateway
	unknownFor  = 5 * time.Second // how long a key stays unknown without another question
	addressRows = 1 << 14         // addresses with a rate of their own; those that share a row share its rate
	unknownRows = 1 << 13         // unknown keys that are remembered
	goodRows    = 1 << 16         // good keys that are remembered
)

// RefusedCredentials counts refused API keys by reason.
type RefusedCredentials struct {
	Unknown    uint64 // the store does not know the key
	Remembered uint64 // the store did not know the key a moment ago
	Throttled  uint64 // the address has asked for too many unknown keys
}

// throttle bounds what bad keys cost the store. Keys that were good on this node pass it at once. Its tables have a fixed size.
type throttle struct {
	now  func() time.Time
	seed maphash.Seed // keeps an attacker from choosing the row of an address
	good [goodRows]atomic.Uint64

	unknown, remembered, throttled atomic.Uint64

	mu      sync.Mutex
	bad     [unknownRows]badKey     // guarded by mu
	buckets [addressRows]addressRow // guarded by mu
}

// badKey is a key that the store did not know.
type badKey struct {
	hash  esh3ar.KeyHash
	until time.Time // zero: the row is empty
}

// addressRow is a token bucket that fills up from used to zero.
type addressRow struct {
	used float64 // questions that are not paid off
	at   time.Time
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{now: now, seed: maphash.MakeSeed()}
}

// goodRow returns the row of a key and what is in it if the key was good.
func (t *throttle) goodRow(h *esh3ar.KeyHash) (row *atomic.Uint64, mark uint64) {
	return &t.good[binary.LittleEndian.Uint16(h[:2])], binary.LittleEndian.Uint64(h[8:16])
}

// wasGood reports whether the key was good when it was last asked for. It takes no lock.
func (t *throttle) wasGood(h *esh3ar.KeyHash) bool {
	row, mark := t.goodRow(h)
	return row.Load() == mark
}

var (
	errUnknownKey = esh3ar.Errorf(esh3ar.Unauthenticated, "the API key is unknown or revoked")
	errManyKeys   = &esh3ar.Error{
		Code: esh3ar.RateLimited, RetryAfter: time.Second,
		Text: "too many unknown API keys come from this address; keys that this node knows, and keys that the cluster has made, are not affected",
	}
)

// isUnknown reports whether the store did not know the key within unknownFor.
func (t *throttle) isUnknown(h *esh3ar.KeyHash) bool {
	row := &t.bad[binary.LittleEndian.Uint64(h[:8])%unknownRows]
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if row.hash != *h || !now.Before(row.until) {
		return false
	}
	t.remembered.Add(1)
	return true
}

// admit returns nil if the store may be asked for an unproven key that comes from the address.
func (t *throttle) admit(address netip.Prefix, proxy bool) error {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	burst := 1.0
	if proxy {
		burst = viaProxy
	}
	bucket := t.bucketLocked(address)
	bucket.used = max(0, bucket.used-now.Sub(bucket.at).Seconds()*lookupRate*burst)
	bucket.at = now
	if bucket.used+1 > lookupBurst*burst {
		t.throttled.Add(1)
		return errManyKeys
	}
	bucket.used++
	return nil
}

func (t *throttle) bucketLocked(address netip.Prefix) *addressRow {
	return &t.buckets[maphash.Comparable(t.seed, address)%addressRows]
}

// found notes that a key is good.
func (t *throttle) found(h *esh3ar.KeyHash) {
	row, mark := t.goodRow(h)
	row.Store(mark)
}

// giveBack returns what a question took of the rate, so that good keys cost nothing.
func (t *throttle) giveBack(address netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	bucket := t.bucketLocked(address)
	bucket.used = max(0, bucket.used-1)
}

// notFound notes that the store does not know a key.
func (t *throttle) notFound(h *esh3ar.KeyHash) {
	t.unknown.Add(1)
	row, mark := t.goodRow(h)
	row.CompareAndSwap(mark, 0)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bad[binary.LittleEndian.Uint64(h[:8])%unknownRows] = badKey{*h, t.now().Add(unknownFor)}
}

// stats returns the counts.
func (t *throttle) stats() RefusedCredentials {
	return RefusedCredentials{t.unknown.Load(), t.remembered.Load(), t.throttled.Load()}
}
