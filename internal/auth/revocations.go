package auth

import (
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
)

// maxRevocations bounds those in force, about 150 bytes each. At the bound Revoke is refused.
const maxRevocations = 1 << 20

// clockMargin is how far the clocks of nodes may differ for what is compared by time alone.
const clockMargin = 5 * time.Second

// Revocations are those in force as this node knows them.
//
// A token carries the newest version that its node knew when it made the token. A revocation of its phone or device with a
// higher version voids it, whatever the clocks say. Where a store was restored, its versions count again from before; so a
// token is void as well that is older than the revocation by more than clockMargin.
type Revocations struct {
	mu     sync.RWMutex
	all    map[revokedName]revokedMark
	newest uint64
}

type revokedName struct {
	recipient esh3ar.Recipient
	device    string // empty: all
}

type revokedMark struct {
	version uint64
	at      esh3ar.Time
}

func newRevocations() *Revocations { return &Revocations{all: make(map[revokedName]revokedMark)} }

// version is that of the newest revocation.
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

// add reports whether the revocation is new.
func (r *Revocations) add(one esh3ar.Revocation) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	name := revokedName{one.Recipient, one.Device}
	if r.all[name].version >= one.Version {
		return false
	}
	r.all[name] = revokedMark{one.Version, one.At}
	r.newest = max(r.newest, one.Version)
	return true
}

// forget drops those from before a time.
func (r *Revocations) forget(before esh3ar.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, mark := range r.all {
		if mark.at < before {
			delete(r.all, name)
		}
	}
}

// voids reports whether a token is revoked, which was made at a time by a node that knew a version.
func (r *Revocations) voids(recipient esh3ar.Recipient, device string, version uint64, made esh3ar.Time) bool {
	if r == nil {
		return false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, name := range [...]revokedName{{recipient, ""}, {recipient, device}} {
		if mark, ok := r.all[name]; ok && (version < mark.version || made.Add(clockMargin) < mark.at) {
			return true
		}
	}
	return false
}
