package keyring

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar"
)

// Ring is the keys of a cluster as this process knows them.
type Ring struct {
	now  func() time.Time
	keys atomic.Pointer[[]*member] // by SignsFrom, the newest last; never empty
}

// member is a key with what is derived from it once.
type member struct {
	Key
	id      string
	raw     [idSize]byte // id, as frames carry it
	private ed25519.PrivateKey
}

// New returns a ring with the keys, of which there must be at least one; now is the clock.
func New(now func() time.Time, keys ...Key) (*Ring, error) {
	r := &Ring{now: now}
	return r, r.Set(keys)
}

// Generate returns a ring with one random key.
func Generate(now func() time.Time) *Ring {
	r, err := New(now, Key{Secret: NewSecret()})
	if err != nil {
		panic(err) // NewSecret has made a bad secret
	}
	return r
}

// Set replaces the keys. On an error the ring stays as it was.
func (r *Ring) Set(keys []Key) error {
	if len(keys) == 0 {
		return errors.New("a key ring has no key")
	}
	members := make([]*member, len(keys))
	for i, key := range keys {
		if err := key.check(); err != nil {
			return err
		}
		raw := key.rawID()
		members[i] = &member{Key: key, id: hex.EncodeToString(raw[:]), raw: raw, private: key.private()}
	}
	slices.SortStableFunc(members, func(a, b *member) int { return int(min(max(a.SignsFrom-b.SignsFrom, -1), 1)) })
	r.keys.Store(&members)
	return nil
}

// Signing returns the key that signs now and its id: of the keys that have not ended, the newest that may sign.
func (r *Ring) Signing() (id string, key Key) {
	m := r.signing()
	return m.id, m.Key
}

func (r *Ring) signing() *member {
	members, now := *r.keys.Load(), esh3ar.TimeOf(r.now())
	first := members[len(members)-1] // where all have ended or none may sign yet: a ring always signs
	for _, m := range slices.Backward(members) {
		if !m.validAt(now) {
			continue
		}
		first = m
		if m.SignsFrom <= now {
			return m
		}
	}
	return first
}

// Member is a key of the ring with its name.
type Member struct {
	Key
	ID     string
	Public string // for ParsePublic
}

// Members returns the keys that verify now, the newest first.
func (r *Ring) Members() []Member {
	var valid []Member
	now := esh3ar.TimeOf(r.now())
	for _, m := range slices.Backward(*r.keys.Load()) {
		if m.validAt(now) {
			valid = append(valid, Member{m.Key, m.id, m.public()})
		}
	}
	return valid
}

// Verifies reports whether a key verifies now, by its id.
func (r *Ring) Verifies(id string) bool {
	now := esh3ar.TimeOf(r.now())
	for _, m := range *r.keys.Load() {
		if m.id == id && m.validAt(now) {
			return true
		}
	}
	return false
}

// find returns the key of an id if it verifies now, or nil.
func (r *Ring) find(id [idSize]byte) *member {
	now := esh3ar.TimeOf(r.now())
	for _, m := range *r.keys.Load() {
		if m.raw == id && m.validAt(now) {
			return m
		}
	}
	return nil
}
