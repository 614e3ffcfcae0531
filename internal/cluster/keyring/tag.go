package keyring

import (
	"crypto/hmac"
	"crypto/sha256"

	"github.com/esh3artech/esh3ar"
)

// tagKeySize is the size of the key that tags are made with, in bytes.
const tagKeySize = 32

// tag returns the tag of a text for one purpose, with one key.
func (m *member) tag(purpose string, text []byte) []byte {
	mac := hmac.New(sha256.New, m.Derive("tag "+purpose, tagKeySize))
	mac.Write(text)
	return mac.Sum(nil)
}

// Tag returns the first n bytes, at most 32, of a MAC of the text: a mark that only a holder of the signing key can make. It
// takes no time of its own, so it is good as long as its key verifies.
func (r *Ring) Tag(purpose string, text []byte, n int) []byte {
	return r.signing().tag(purpose, text)[:n]
}

// Tagged reports whether a key that verifies now has made the tag of the text.
func (r *Ring) Tagged(purpose string, text, tag []byte) bool {
	now := esh3ar.TimeOf(r.now())
	for _, m := range *r.keys.Load() {
		if m.validAt(now) && len(tag) > 0 && len(tag) <= sha256.Size && hmac.Equal(m.tag(purpose, text)[:len(tag)], tag) {
			return true
		}
	}
	return false
}
