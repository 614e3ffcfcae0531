package keyring

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/esh3artech/esh3ar"
)

// SecretSize is the size of a key's secret in bytes.
const SecretSize = 32

// Key is one key of a ring.
type Key struct {
	Secret    []byte      // SecretSize random bytes
	CreatedAt esh3ar.Time // zero: the first key of a store
	SignsFrom esh3ar.Time // signs from then on, until a newer key does
	EndsAt    esh3ar.Time // verifies until then; zero: no end yet
}

// NewSecret returns a random secret.
func NewSecret() []byte {
	secret := make([]byte, SecretSize)
	_, _ = rand.Read(secret) // crypto/rand.Read never fails
	return secret
}

// ID returns the key's name: it is derived from the secret and says nothing about it.
func (k *Key) ID() string {
	raw := k.rawID()
	return hex.EncodeToString(raw[:])
}

func (k *Key) rawID() [idSize]byte { return [idSize]byte(k.Derive("id", idSize)) }

// idSize is the size of a key's id in bytes, 4: a ring has few keys.
const idSize = 4

// Derive returns n bytes for one purpose. Different purposes have independent bytes. n is at most 255 × 32.
func (k *Key) Derive(purpose string, n int) []byte {
	derived, err := hkdf.Key(sha256.New, k.Secret, nil, "esh3ar "+purpose, n)
	if err != nil {
		panic(fmt.Sprintf("derive %d bytes: %v", n, err)) // a constant of the caller is wrong
	}
	return derived
}

// validAt reports whether the key verifies at a time.
func (k *Key) validAt(now esh3ar.Time) bool { return k.EndsAt.IsZero() || now < k.EndsAt }

func (k *Key) check() error {
	if len(k.Secret) != SecretSize {
		return fmt.Errorf("a signing key has %d bytes, not %d", len(k.Secret), SecretSize)
	}
	return nil
}

func (k *Key) private() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(k.Derive("registry signature", ed25519.SeedSize))
}
