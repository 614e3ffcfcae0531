package auth

import (
	"encoding/base64"
	"strings"

	"github.com/esh3artech/esh3ar/internal/cluster/keyring"
)

// An API key is keyPrefix and base64url of 32 bytes: keyRandom random ones, and a mark that a signing key of the cluster has
// made over them. The mark proves nothing about a key: the store decides. It lets a node know the keys that it may have to
// look up from texts that were made up, so that a flood of those delays no good key, also where both come from one address. A
// key whose mark cannot be verified (of before marks, of ESH3AR_API_KEY, of a signing key that has ended) is as good, and its
// first look-up on a node is held to the rate of its address.
const (
	keyPrefix = "esk_"
	keyRandom = 22 // bytes: 176 bits
	keySize   = 32 // bytes with the mark: 80 bits of that
	keyMark   = "api key"
)

// newKey makes an API key.
func newKey(ring *keyring.Ring) string {
	raw := randomBytes()
	if ring != nil {
		copy(raw[keyRandom:], ring.Tag(keyMark, raw[:keyRandom], keySize-keyRandom))
	}
	return keyPrefix + base64.RawURLEncoding.EncodeToString(raw[:])
}

// NewKey makes an API key. It is good when the store has its hash.
func (k *Keys) NewKey() string { return newKey(k.ring) }

// isMarked reports whether the cluster of the ring has made the key.
func isMarked(ring *keyring.Ring, key string) bool {
	text, ours := strings.CutPrefix(key, keyPrefix)
	if ring == nil || !ours || len(text) != base64.RawURLEncoding.EncodedLen(keySize) {
		return false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return err == nil && ring.Tagged(keyMark, raw[:keyRandom], raw[keyRandom:])
}
