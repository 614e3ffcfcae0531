package auth

import (
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
)

// maxRevocations bounds the revocations in force, at about 150 bytes each. At the bound, Revoke returns an error.
const maxRevocations = 1 << 20

// clockMargin is the clock difference between nodes that comparisons by time alone must tolerate.
const clockMargin = 5 * time.Second

// Revocations holds the revocations in force, as known to this node.
//
// A token carries the newest version that its node knew when it created the token. A revocation of its phone or device with
// a higher version voids it, independently of clocks. If a store is restored from a backup, versions are reused; therefore a
// token is also void if it is older than the revocation by more than clockMargin.
type Revocations struct {
	mu     sync.RWMutex
	all    map[revocationKey]revocationMark
	newest uint64
}

type revocationKey struct {
	recipient esh3ar.Recipient // empty: all devices
	device    string           // empty: all
}

type revocationMark struct {
	version uint64
	at      esh3ar.Time
}

func newRevocations() *Revocations { return &Revocations{all: make(map[revocationKey]revocationMark)} }

// version returns the version of the newest revocation; zero if r is nil.
func (r *Revocations) version() uint64 {
	if r == nil {
		return 0
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.newest
}

func (r *Revocations) full() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.all) >= maxRevocations
}

// add applies a revocation, and reports whether it was new.
func (r *Revocations) add(one esh3ar.Revocation) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := revocationKey{one.Recipient, one.Device}
	if r.all[name].version >= one.Version {
		return false
	}
	r.all[name] = revocationMark{one.Version, one.At}
	r.newest = max(r.newest, one.Version)
	return true
}

// forget drops revocations made before the given time.
func (r *Revocations) forget(before esh3ar.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, mark := range r.all {
		if mark.at < before {
			delete(r.all, name)
		}
	}
}

// voids reports whether a token is revoked that was created at the time made by a node that knew the given version.
func (r *Revocations) voids(recipient esh3ar.Recipient, device string, version uint64, made esh3ar.Time) bool {
	if r == nil {
		return false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, name := range [...]revocationKey{{recipient, ""}, {recipient, device}} {
		if mark, ok := r.all[name]; ok && (version < mark.version || made.Add(clockMargin) < mark.at) {
			return true
		}
	}
	return false
}
