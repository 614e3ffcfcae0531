package keyring

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/esh3artech/esh3ar"
)

// Signatures of one text, by the id of the key.
type Signatures map[string][]byte

// Verifier verifies signatures of nodes.
type Verifier interface {
	// Verify reports whether one of the signatures is a node's, for that context and text.
	Verify(context string, text []byte, signatures Signatures) bool
}

var (
	_ Verifier = (*Ring)(nil)
	_ Verifier = (*PublicKeys)(nil)
)

// signed is what a signature covers: the context is in front, with its end marked.
func signed(context string, text []byte) []byte {
	return append(append([]byte("esh3ar signature v1 "+context), 0), text...)
}

// Sign signs a text with every key that verifies now, so that a gateway that knows one of them accepts it. The context must
// not contain a zero byte.
func (r *Ring) Sign(context string, text []byte) Signatures {
	now := esh3ar.TimeOf(r.now())
	signatures := make(Signatures)
	for _, m := range *r.keys.Load() {
		if m.validAt(now) {
			signatures[m.id] = ed25519.Sign(m.private, signed(context, text))
		}
	}
	return signatures
}

// Verify implements Verifier.
func (r *Ring) Verify(context string, text []byte, signatures Signatures) bool {
	for id, signature := range signatures {
		var raw [idSize]byte
		if n, err := hex.Decode(raw[:], []byte(id[:min(len(id), 2*idSize)])); err != nil || n != idSize || len(id) != 2*idSize {
			continue
		}
		if m := r.find(raw); m != nil && ed25519.Verify(m.private.Public().(ed25519.PublicKey), signed(context, text), signature) { //nolint:forcetypeassert // documented
			return true
		}
	}
	return false
}

// Public returns the public keys that verify what this ring signs, in the form that ParsePublic reads.
func (r *Ring) Public() []string {
	var keys []string
	now := esh3ar.TimeOf(r.now())
	for _, m := range *r.keys.Load() {
		if m.validAt(now) {
			keys = append(keys, m.public())
		}
	}
	return keys
}

// publicPrefix marks a public key of a cluster, so that a secret given by mistake is refused.
const publicPrefix = "epk_"

func (m *member) public() string {
	return publicPrefix + m.id + "_" + base64.RawURLEncoding.EncodeToString(m.private.Public().(ed25519.PublicKey)) //nolint:forcetypeassert // documented
}

// PublicKeys verifies with public keys alone. The zero value has none and refuses everything.
type PublicKeys struct {
	keys atomic.Pointer[map[string]ed25519.PublicKey]
}

// ParsePublic reads public keys as Ring.Public returns them.
func ParsePublic(texts []string) (*PublicKeys, error) {
	p := new(PublicKeys)
	return p, p.Set(texts)
}

// Set replaces the keys. On an error they stay as they were.
func (p *PublicKeys) Set(texts []string) error {
	keys := make(map[string]ed25519.PublicKey, len(texts))
	for _, text := range texts {
		rest, marked := strings.CutPrefix(strings.TrimSpace(text), publicPrefix)
		id, encoded, cut := strings.Cut(rest, "_")
		key, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
		if !marked || !cut || err != nil || len(id) != 2*idSize || len(key) != ed25519.PublicKeySize {
			return fmt.Errorf("not a public key of a cluster, which begins with %s and has %d characters", publicPrefix,
				len(publicPrefix)+2*idSize+1+base64.RawURLEncoding.EncodedLen(ed25519.PublicKeySize))
		}
		keys[id] = key
	}
	p.keys.Store(&keys)
	return nil
}

// Empty reports whether there is no key.
func (p *PublicKeys) Empty() bool {
	keys := p.keys.Load()
	return keys == nil || len(*keys) == 0
}

// Verify implements Verifier.
func (p *PublicKeys) Verify(context string, text []byte, signatures Signatures) bool {
	keys := p.keys.Load()
	if keys == nil {
		return false
	}
	for id, signature := range signatures {
		if key := (*keys)[id]; key != nil && ed25519.Verify(key, signed(context, text), signature) {
			return true
		}
	}
	return false
}

// IDs returns the ids of the keys, sorted.
func (p *PublicKeys) IDs() (ids []string) {
	if keys := p.keys.Load(); keys != nil {
		for id := range *keys {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}
