// Package opaque seals positions and cursors before they leave the platform. What a client holds then says nothing: not
// how many events or messages lie between two of them, which would tell one business of the volume of all others.
//
// A sealed text is bound to its business and to its use. Another business's, one of another use, and a changed one are
// refused. The same text is sealed to the same characters, so that clients may compare them for equality; they have no
// order. Sealing is the SIV construction (RFC 5297) of HMAC-SHA-256 and AES-256 in counter mode: a keyed hash of the text
// is its authentication and the start of the key stream.
//
// The package does not keep the secret. It has to be the same on all nodes and for as long as clients keep what it sealed.
//
// All methods are safe for concurrent use.
package opaque

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"sync"

	"github.com/esh3artech/esh3ar"
)

// Use is what a sealed text is for. Its values are part of what is sealed: never change one.
type Use byte

// The uses.
const (
	Events      Use = 1 // positions in the event log
	Messages    Use = 2 // cursors of the list of messages
	DeadLetters Use = 3 // cursors of the list of dead letters
)

// ErrUnknown is returned for what this platform has not sealed for that business and use.
var ErrUnknown = errors.New("not one that was given to this business")

// ErrEarlier is the ErrUnknown of what was sealed in another history of the store.
var ErrEarlier = fmt.Errorf("%w in this history of the store", ErrUnknown)

// SecretSize is the length of a secret, in bytes.
const SecretSize = 32

// MaxText is the length of the longest text, in bytes.
const MaxText = 255

const (
	version  = 1 // first byte of what is sealed
	tagSize  = 16
	epochLen = 4 // history of the store that the text belongs to; zero: the first
)

// Sealer seals and opens.
type Sealer struct {
	block   cipher.Block
	macs    sync.Pool // of hash.Hash
	history uint32    // of the store; zero: the first
}

// New returns a sealer with a secret of SecretSize random bytes. History is the number of times that the store was moved or restored:
// positions of before mean nothing in it.
func New(secret []byte, history uint32) (*Sealer, error) {
	if len(secret) != SecretSize {
		return nil, errors.New("the secret of cursors must have 32 bytes")
	}
	block, err := aes.NewCipher(derive(secret, "encrypt"))
	if err != nil {
		return nil, err
	}
	s, key := &Sealer{block: block, history: history}, derive(secret, "authenticate")
	s.macs.New = func() any { return hmac.New(sha256.New, key) }
	return s, nil
}

// NewEphemeral returns a sealer with a secret of its own, for tests and for processes whose clients do not outlive them.
func NewEphemeral() *Sealer {
	var secret [SecretSize]byte
	_, _ = rand.Read(secret[:]) // never fails
	s, _ := New(secret[:], 0)   // the length is right
	return s
}

func derive(secret []byte, purpose string) []byte {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte("esh3ar cursors, " + purpose))
	return m.Sum(nil)
}

// Seal returns a text as clients see it. A text longer than MaxText is cut, so that opening it fails.
func (s *Sealer) Seal(use Use, business esh3ar.BusinessID, text string) string {
	return string(s.AppendSealed(nil, use, business, text))
}

// AppendSealed appends what Seal returns.
func (s *Sealer) AppendSealed(dst []byte, use Use, business esh3ar.BusinessID, text string) []byte {
	text = text[:min(len(text), MaxText)]
	var room [1 + tagSize + epochLen + MaxText]byte
	sealed := append(room[:1+tagSize+epochLen], text...)
	sealed[0] = version
	binary.BigEndian.PutUint32(sealed[1+tagSize:], s.history)
	body := sealed[1+tagSize:]
	var tag [tagSize]byte
	s.tag(&tag, use, business, body)
	copy(sealed[1:], tag[:])
	s.crypt(&tag, body)
	return base64.RawURLEncoding.AppendEncode(dst, sealed)
}

// Open returns the text of what Seal returned, ErrEarlier if that was in another history, or ErrUnknown.
func (s *Sealer) Open(use Use, business esh3ar.BusinessID, sealed string) (string, error) {
	var room [1 + tagSize + epochLen + MaxText]byte
	if base64.RawURLEncoding.DecodedLen(len(sealed)) > len(room) {
		return "", ErrUnknown
	}
	n, err := base64.RawURLEncoding.Strict().Decode(room[:], []byte(sealed))
	if err != nil || n < 1+tagSize+epochLen || room[0] != version {
		return "", ErrUnknown
	}
	var given, tag [tagSize]byte
	copy(given[:], room[1:])
	body := room[1+tagSize : n]
	s.crypt(&given, body)
	s.tag(&tag, use, business, body)
	if !hmac.Equal(tag[:], given[:]) {
		return "", ErrUnknown
	}
	if binary.BigEndian.Uint32(body) != s.history {
		return "", ErrEarlier
	}
	return string(body[epochLen:]), nil
}

// tag is the keyed hash of a text, its owner and its use.
func (s *Sealer) tag(tag *[tagSize]byte, use Use, business esh3ar.BusinessID, body []byte) {
	m := s.macs.Get().(hash.Hash) //nolint:forcetypeassert // the pool holds nothing else
	m.Reset()
	m.Write([]byte{version, byte(use)})
	m.Write(business.UUID[:])
	m.Write(body)
	var sum [sha256.Size]byte
	copy(tag[:], m.Sum(sum[:0]))
	s.macs.Put(m)
}

// crypt adds the key stream that begins at the tag.
func (s *Sealer) crypt(tag *[tagSize]byte, body []byte) {
	counter := *tag
	var stream [aes.BlockSize]byte
	for len(body) > 0 {
		s.block.Encrypt(stream[:], counter[:])
		n := min(len(body), len(stream))
		for i := range n {
			body[i] ^= stream[i]
		}
		body = body[n:]
		for i := len(counter) - 1; i >= 0; i-- {
			if counter[i]++; counter[i] != 0 {
				break
			}
		}
	}
}
