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

// ConnectWithin is how long a token that Redirect made opens connections. What has been opened by then may go on.
const ConnectWithin = 60 * time.Second

// audience tells device tokens from every other token that may be signed with the same key one day.
const audience = "esh3ar-mobile"

// Device is a phone that proved who it is.
type Device struct {
	Recipient esh3ar.Recipient
	ID        string // which of the user's devices
	Expires   time.Time
	Sent      bool // here by another node or a gateway: its token is a redirect's
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
	Device    string           `json:"did"`
	ConnectBy *jwt.NumericDate `json:"cby,omitempty"` // of a redirect: it opens no connection after that
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
	expires = t.now().Add(ttl).Truncate(time.Second) // JWTs count whole seconds
	token, err = t.sign(Device{Recipient: r, ID: device, Expires: expires}, nil)
	return token, expires, err
}

// Redirect makes a token for a device that is sent to another node: it opens connections for ConnectWithin, and they end
// when the token ends that the device came with.
func (t *Tokens) Redirect(d Device) (token string, err error) {
	return t.sign(d, jwt.NewNumericDate(t.now().Add(ConnectWithin)))
}

func (t *Tokens) sign(d Device, connectBy *jwt.NumericDate) (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodHS256, deviceClaims{d.ID, connectBy, jwt.RegisteredClaims{
		Subject: d.Recipient.String(), Audience: jwt.ClaimStrings{audience}, ID: randomHex(16),
		IssuedAt: jwt.NewNumericDate(t.now()), ExpiresAt: jwt.NewNumericDate(d.Expires),
	}}).SignedString(t.key)
}

// Verify reads a token that is to open something, or answers Unauthenticated.
func (t *Tokens) Verify(token string) (Device, error) { return t.verify(token, true) }

// VerifyOpen reads the token of a request that belongs to what was opened with it: a redirect's is good for that as long as
// the device's own token.
func (t *Tokens) VerifyOpen(token string) (Device, error) { return t.verify(token, false) }

func (t *Tokens) verify(token string, opens bool) (Device, error) {
	var claims deviceClaims
	if _, err := t.parser.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return t.key, nil }); err != nil {
		return Device{}, esh3ar.Errorf(esh3ar.Unauthenticated, "device token: %w", err)
	}
	if opens && claims.ConnectBy != nil && !t.now().Before(claims.ConnectBy.Time) {
		return Device{}, esh3ar.Errorf(esh3ar.Unauthenticated, "device token: it was to connect by %s", claims.ConnectBy.UTC().Format(time.RFC3339))
	}
	r, err := esh3ar.ParseRecipient(claims.Subject)
	if err != nil || claims.Device == "" {
		return Device{}, esh3ar.Errorf(esh3ar.Unauthenticated, "device token: bad sub or did")
	}
	return Device{Recipient: r, ID: claims.Device, Expires: claims.ExpiresAt.Time, Sent: claims.ConnectBy != nil}, nil
}

func randomHex(bytes int) string {
	raw := make([]byte, bytes)
	_, _ = rand.Read(raw) // crypto/rand.Read never fails
	return hex.EncodeToString(raw)
}
