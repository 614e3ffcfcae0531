// Package opaque seals positions and cursors before they leave the platform. Unsealed, two of them would show a business how many events or
// messages all businesses have sent in between.
//
// A sealed text is bound to its business and its use. Open refuses a text of another business, of another use, or one that was changed.
// The same text is always sealed to the same characters, so clients may compare sealed texts for equality; they have no order. Sealing is
// the SIV construction (RFC 5297) with HMAC-SHA-256 and AES-256 in counter mode: a keyed hash of the text is both its authentication tag
// and the initial counter.
//
// The package does not store the secret. The secret must be the same on all nodes, and must not change while clients hold sealed texts.
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

// Use is the purpose of a sealed text. The values are part of the sealed format and must never change.
type Use byte

// The uses.
const (
	Events      Use = 1 // positions in the event log
	Messages    Use = 2 // cursors of the list of messages
	DeadLetters Use = 3 // cursors of the list of dead letters
)

// ErrUnknown means that the text was not sealed by this platform for this business and use.
var ErrUnknown = errors.New("not one that was given to this business")

// ErrEarlier means that the text was sealed in an earlier history of the store. It wraps ErrUnknown.
var ErrEarlier = fmt.Errorf("%w in this history of the store", ErrUnknown)

// SecretSize is the length of a secret, in bytes.
const SecretSize = 32

// MaxText is the length of the longest text, in bytes.
const MaxText = 255

const (
	version  = 1 // first byte of a sealed text
	tagSize  = 16
	epochLen = 4 // length of the number of the store's history; zero is the first
)

// Sealer seals and opens texts. New makes one.
type Sealer struct {
	block   cipher.Block
	macs    sync.Pool // of hash.Hash
	history uint32    // number of the store's history; zero is the first
}

// New returns a sealer that uses a secret of SecretSize random bytes. history is the number of times that the store was moved or restored:
// earlier positions are not valid in it.
func New(secret []byte, history uint32) (*Sealer, error) {
	if len(secret) != SecretSize {
		return nil, errors.New("the secret of cursors must have 32 bytes")
	}
	block, err := aes.NewCipher(derive(secret, "encrypt"))
	if err != nil {
		return nil, err
	}
	s := &Sealer{block: block, history: history}
	key := derive(secret, "authenticate")
	s.macs.New = func() any { return hmac.New(sha256.New, key) }
	return s, nil
}

// NewEphemeral returns a sealer with a random secret, for tests and for processes whose clients end with them.
func NewEphemeral() *Sealer {
	var secret [SecretSize]byte
	_, _ = rand.Read(secret[:]) // never fails
	s, _ := New(secret[:], 0)   // the length is right
	return s
}

// derive returns the key for a purpose.
func derive(secret []byte, purpose string) []byte {
	m := hmac.New(sha256.New, secret)
	m.Write([]byte("esh3ar cursors, " + purpose))
	return m.Sum(nil)
}

// Seal returns the sealed form of a text. A text longer than MaxText is truncated.
func (s *Sealer) Seal(use Use, business esh3ar.BusinessID, text string) string {
	return string(s.AppendSealed(nil, use, business, text))
}

// AppendSealed appends the sealed form of a text to dst.
func (s *Sealer) AppendSealed(dst []byte, use Use, business esh3ar.BusinessID, text string) []byte {
	text = text[:min(len(text), MaxText)]
	var buffer [1 + tagSize + epochLen + MaxText]byte
	sealed := append(buffer[:1+tagSize+epochLen], text...)
	sealed[0] = version
	binary.BigEndian.PutUint32(sealed[1+tagSize:], s.history)
	body := sealed[1+tagSize:]
	var tag [tagSize]byte
	s.tag(&tag, use, business, body)
	copy(sealed[1:], tag[:])
	s.crypt(&tag, body)
	return base64.RawURLEncoding.AppendEncode(dst, sealed)
}

// Open returns the text of a sealed form. The error is ErrEarlier if it was sealed in another history, else ErrUnknown.
func (s *Sealer) Open(use Use, business esh3ar.BusinessID, sealed string) (string, error) {
	var buffer [1 + tagSize + epochLen + MaxText]byte
	if base64.RawURLEncoding.DecodedLen(len(sealed)) > len(buffer) {
		return "", ErrUnknown
	}
	n, err := base64.RawURLEncoding.Strict().Decode(buffer[:], []byte(sealed))
	if err != nil || n < 1+tagSize+epochLen || buffer[0] != version {
		return "", ErrUnknown
	}
	var given, tag [tagSize]byte
	copy(given[:], buffer[1:])
	body := buffer[1+tagSize : n]
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

// tag sets tag to the keyed hash of the use, the business and the body.
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

// crypt encrypts or decrypts the body in place, in counter mode with the tag as the initial counter.
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
			counter[i]++
			if counter[i] != 0 { // no carry
				break
			}
		}
	}
}
