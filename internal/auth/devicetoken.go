package auth

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/keyring"
)

// Bounds of the lifetime of a device token.
const (
	DefaultTokenTTL = 24 * time.Hour
	MinTokenTTL     = 60 * time.Second
	MaxTokenTTL     = 30 * 24 * time.Hour
	MaxDeviceID     = 128 // code points
)

// ConnectWithin is the time during which a token created by Redirect can open connections. Connections that are open by then
// may continue.
const ConnectWithin = 60 * time.Second

// audience distinguishes device tokens from other tokens that may be signed with the same key in the future.
const audience = "esh3ar-mobile"

// Device is an authenticated phone.
type Device struct {
	Recipient  esh3ar.Recipient
	ID         string // device id, unique per recipient
	Expires    time.Time
	Redirected bool // whether another node or a gateway sent it here with a redirect token

	createdAt esh3ar.Time // creation time of the device's own token
	version   uint64      // newest revocation that its node knew then
	key       string      // id of the key that signed the token
}

// Tokens creates and verifies device tokens: HS256 JWTs that are opaque to clients.
type Tokens struct {
	ring    *keyring.Ring
	revoked *Revocations // nil: no revocations
	now     func() time.Time
	parser  *jwt.Parser
}

// NewTokens returns Tokens with a single fixed key from NewSigningKey; now is the clock. It panics if the key has another
// size.
func NewTokens(key []byte, now func() time.Time) *Tokens {
	ring, err := keyring.New(now, keyring.Key{Secret: key})
	if err != nil {
		panic(err) // not a key from NewSigningKey
	}
	return newTokens(ring, nil, now)
}

func newTokens(ring *keyring.Ring, revoked *Revocations, now func() time.Time) *Tokens {
	return &Tokens{ring: ring, revoked: revoked, now: now, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithAudience(audience), jwt.WithStrictDecoding(),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(now),
	)}
}

// NewSigningKey returns a new random key of 256 bits.
func NewSigningKey() []byte { return keyring.NewSecret() }

// deviceClaims are the claims of a device token.
type deviceClaims struct {
	Device    string           `json:"did"`
	Made      int64            `json:"ims,omitempty"` // creation time of the device's own token, in milliseconds; zero: same as iat
	Version   uint64           `json:"rev,omitempty"` // newest revocation that the node knew then
	ConnectBy *jwt.NumericDate `json:"cby,omitempty"` // redirect tokens: latest time to open a connection
	jwt.RegisteredClaims
}

// Mint creates a token for one device of a recipient. An empty device id is replaced by a random one. ttl is MinTokenTTL to
// MaxTokenTTL; zero means DefaultTokenTTL.
func (t *Tokens) Mint(r esh3ar.Recipient, device string, ttl time.Duration) (token string, expires time.Time, err error) {
	if device == "" {
		device = randomHex(8)
	}
	if ttl == 0 {
		ttl = DefaultTokenTTL
	}
	expires = t.now().Add(ttl).Truncate(time.Second) // JWTs have a resolution of one second
	token, err = t.sign(Device{Recipient: r, ID: device, Expires: expires, createdAt: esh3ar.TimeOf(t.now()), version: t.revoked.version()}, nil)
	return token, expires, err
}

// Redirect creates a token for a device that is sent to another node. It opens connections during ConnectWithin. These
// connections end when the device's own token expires.
func (t *Tokens) Redirect(d Device) (token string, err error) {
	return t.sign(d, jwt.NewNumericDate(t.now().Add(ConnectWithin)))
}

func (t *Tokens) sign(d Device, connectBy *jwt.NumericDate) (string, error) {
	id, key := t.ring.Signing()
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, deviceClaims{d.ID, int64(d.createdAt), d.version, connectBy, jwt.RegisteredClaims{
		Subject: d.Recipient.String(), Audience: jwt.ClaimStrings{audience}, ID: randomHex(16),
		IssuedAt: jwt.NewNumericDate(t.now()), ExpiresAt: jwt.NewNumericDate(d.Expires),
	}})
	token.Header["kid"] = id
	return token.SignedString(tokenKey(&key))
}

// tokenKey derives the key of tokens that have a kid.
func tokenKey(k *keyring.Key) []byte { return k.Derive("device token", keyring.SecretSize) }

// keyOf returns the key of a token by its header. Tokens without a kid predate the key ring; their key is the secret of the
// store's first key.
func (t *Tokens) keyOf(token *jwt.Token) (id string, key []byte, err error) {
	name, named := token.Header["kid"]
	// Allowed members of the header: alg, typ, kid.
	if token.Header["typ"] != "JWT" || len(token.Header) > 3 || len(token.Header) == 3 && !named {
		return "", nil, errHeader
	}
	for _, m := range t.ring.Members() {
		if named && name == m.ID {
			return m.ID, tokenKey(&m.Key), nil
		}
		if !named && m.CreatedAt.IsZero() {
			return m.ID, m.Secret, nil
		}
	}
	return "", nil, errKeyID
}

var (
	errForm      = errors.New("it is not three parts of base64url, or too long")
	errHeader    = errors.New("the header is not one of this platform")
	errDuplicate = errors.New("a member of its header or claims is there twice")
	errKeyID     = errors.New("its key is unknown or has ended")
)

// maxToken is the maximum length of a token, in bytes. Tokens of this platform have at most 1 KiB.
const maxToken = 4096

// wellFormed reports whether a token consists of three parts in the alphabet of base64url without padding. The decoder of
// the JWT library ignores line breaks, so it is not enough.
func wellFormed(token string) bool {
	dots := 0
	for i := range len(token) {
		c := token[i]
		if c == '.' {
			dots++
			continue
		}
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return dots == 2 && len(token) <= maxToken
}

// Verify checks a token that opens a connection. It returns Unauthenticated if the token is invalid.
func (t *Tokens) Verify(token string) (Device, error) { return t.verify(token, true) }

// VerifyOpen checks the token of a request that belongs to an open connection. A redirect token is valid for that until the
// device's own token expires.
func (t *Tokens) VerifyOpen(token string) (Device, error) { return t.verify(token, false) }

func (t *Tokens) verify(token string, opens bool) (Device, error) {
	if !wellFormed(token) {
		return Device{}, esh3ar.Errorf(esh3ar.Unauthenticated, "device token: %w", errForm)
	}
	var claims deviceClaims
	var key string
	find := func(token *jwt.Token) (secret any, err error) { key, secret, err = t.keyOf(token); return secret, err }
	if _, err := t.parser.ParseWithClaims(token, &claims, find); err != nil {
		return Device{}, esh3ar.Errorf(esh3ar.Unauthenticated, "device token: %w", err)
	}
	if !uniqueMembers(token) {
		return Device{}, esh3ar.Errorf(esh3ar.Unauthenticated, "device token: %w", errDuplicate)
	}
	if opens && claims.ConnectBy != nil && !t.now().Before(claims.ConnectBy.Time) {
		return Device{}, esh3ar.Errorf(esh3ar.Unauthenticated, "device token: it opened connections until %s", claims.ConnectBy.UTC().Format(time.RFC3339))
	}
	r, err := esh3ar.ParseRecipient(claims.Subject)
	if err != nil || claims.Device == "" {
		return Device{}, esh3ar.Errorf(esh3ar.Unauthenticated, "device token: bad sub or did")
	}
	d := Device{Recipient: r, ID: claims.Device, Expires: claims.ExpiresAt.Time, Redirected: claims.ConnectBy != nil, createdAt: claims.createdAt(), version: claims.Version, key: key}
	if t.Revoked(d) {
		return Device{}, esh3ar.Errorf(esh3ar.Unauthenticated, "device token: it was revoked")
	}
	return d, nil
}

// Revoked reports whether the device's token was voided before its expiry: it was revoked, or its key has ended.
func (t *Tokens) Revoked(d Device) bool {
	return !t.ring.Verifies(d.key) || t.revoked.voids(d.Recipient, d.ID, d.version, d.createdAt)
}

// createdAt returns the creation time of the device's own token.
func (c *deviceClaims) createdAt() esh3ar.Time {
	if c.Made == 0 && c.IssuedAt != nil {
		return esh3ar.TimeOf(c.IssuedAt.Time)
	}
	return esh3ar.Time(c.Made)
}

func randomHex(bytes int) string {
	raw := make([]byte, bytes)
	_, _ = rand.Read(raw) // crypto/rand.Read never fails
	return hex.EncodeToString(raw)
}
