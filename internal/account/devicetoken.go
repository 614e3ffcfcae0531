package account

import (
	"crypto/rand"
	"encoding/hex"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/esh3artech/esh3ar"
)

// Bounds of a device token's life.
const (
	DefaultTokenTTL = 24 * time.Hour
	MinTokenTTL     = 60 * time.Second
	MaxTokenTTL     = 30 * 24 * time.Hour
	MaxDeviceID     = 128 // code points
)

// audience tells device tokens from every other token that may be signed with the same key one day.
const audience = "esh3ar-mobile"

// Device is a phone that proved who it is.
type Device struct {
	Recipient esh3ar.Recipient
	ID        string // which of the user's devices
	Expires   time.Time
}

// Tokens makes and checks device tokens: HS256 JWTs, opaque to clients.
type Tokens struct {
	key    []byte
	now    func() time.Time
	parser *jwt.Parser
}

// NewTokens makes a signer with the key of NewSigningKey; now is the clock.
func NewTokens(key []byte, now func() time.Time) *Tokens {
	return &Tokens{key: key, now: now, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithAudience(audience),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(now),
	)}
}

// NewSigningKey makes up a key of 256 bits.
func NewSigningKey() []byte {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // crypto/rand.Read never fails
	return key
}

type deviceClaims struct {
	Device string `json:"did"`
	jwt.RegisteredClaims
}

// Mint makes a token for one device of a user; an empty id is made up. ttl is MinTokenTTL to MaxTokenTTL, and zero means
// DefaultTokenTTL.
func (t *Tokens) Mint(r esh3ar.Recipient, device string, ttl time.Duration) (token string, expires time.Time, err error) {
	if device == "" {
		device = randomHex(8)
	}
	if ttl == 0 {
		ttl = DefaultTokenTTL
	}
	now := t.now()
	expires = now.Add(ttl).Truncate(time.Second) // JWTs count whole seconds
	token, err = jwt.NewWithClaims(jwt.SigningMethodHS256, deviceClaims{device, jwt.RegisteredClaims{
		Subject: r.String(), Audience: jwt.ClaimStrings{audience}, ID: randomHex(16),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(expires),
	}}).SignedString(t.key)
	return token, expires, err
}

// Verify reads a token, or answers Unauthenticated.
func (t *Tokens) Verify(token string) (Device, error) {
	var claims deviceClaims
	if _, err := t.parser.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return t.key, nil }); err != nil {
		return Device{}, esh3ar.Errorf(esh3ar.Unauthenticated, "device token: %w", err)
	}
	r, err := esh3ar.ParseRecipient(claims.Subject)
	if err != nil || claims.Device == "" {
		return Device{}, esh3ar.Errorf(esh3ar.Unauthenticated, "device token: bad sub or did")
	}
	return Device{Recipient: r, ID: claims.Device, Expires: claims.ExpiresAt.Time}, nil
}

func randomHex(bytes int) string {
	raw := make([]byte, bytes)
	_, _ = rand.Read(raw) // crypto/rand.Read never fails
	return hex.EncodeToString(raw)
}
