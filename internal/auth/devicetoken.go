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

	made    esh3ar.Time // when the device's own token was made
	version uint64      // newest revocation that was known then
	key     string      // id of the key that signed the token it came with
}

// Tokens makes and checks device tokens: HS256 JWTs, opaque to clients.
type Tokens struct {
	ring    *keyring.Ring
	revoked *Revocations // nil: none
	now     func() time.Time
	parser  *jwt.Parser
}

// NewTokens returns a signer with one key of NewSigningKey that never changes; now is the clock.
func NewTokens(key []byte, now func() time.Time) *Tokens {
	ring, err := keyring.New(now, keyring.Key{Secret: key})
	if err != nil {
		panic(err) // NewSigningKey has not made it
	}
	return newTokens(ring, nil, now)
}

func newTokens(ring *keyring.Ring, revoked *Revocations, now func() time.Time) *Tokens {
	return &Tokens{ring: ring, revoked: revoked, now: now, parser: jwt.NewParser(
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithAudience(audience), jwt.WithStrictDecoding(),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(now),
	)}
}

// NewSigningKey makes up a key of 256 bits.
func NewSigningKey() []byte { return keyring.NewSecret() }

type deviceClaims struct {
	Device    string           `json:"did"`
	Made      int64            `json:"ims,omitempty"` // iat of the device's own token, in milliseconds; zero: as iat
	Version   uint64           `json:"rev,omitempty"` // newest revocation that was known then
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
	token, err = t.sign(Device{Recipient: r, ID: device, Expires: expires, made: esh3ar.TimeOf(t.now()), version: t.revoked.version()}, nil)
	return token, expires, err
}

// Redirect makes a token for a device that is sent to another node: it opens connections for ConnectWithin, and they end
// when the token ends that the device came with.
func (t *Tokens) Redirect(d Device) (token string, err error) {
	return t.sign(d, jwt.NewNumericDate(t.now().Add(ConnectWithin)))
}

func (t *Tokens) sign(d Device, connectBy *jwt.NumericDate) (string, error) {
	id, key := t.ring.Signing()
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, deviceClaims{d.ID, int64(d.made), d.version, connectBy, jwt.RegisteredClaims{
		Subject: d.Recipient.String(), Audience: jwt.ClaimStrings{audience}, ID: randomHex(16),
		IssuedAt: jwt.NewNumericDate(t.now()), ExpiresAt: jwt.NewNumericDate(d.Expires),
	}})
	token.Header["kid"] = id
	return token.SignedString(tokenKey(&key))
}

// tokenKey is the key of tokens with a kid.
func tokenKey(k *keyring.Key) []byte { return k.Derive("device token", keyring.SecretSize) }

// keyOf finds the key of a token by its header. A token without a kid is from before there was a ring: its key is the secret
// of the store's first key.
func (t *Tokens) keyOf(token *jwt.Token) (id string, key []byte, err error) {
	name, named := token.Header["kid"]
	if token.Header["typ"] != "JWT" || len(token.Header) > 3 || len(token.Header) == 3 && !named { // the third is alg
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
	errForm   = errors.New("it is not three parts of base64url, or too long")
	errHeader = errors.New("the header is not one of this platform")
	errTwice  = errors.New("a member of its header or claims is there twice")
	errKeyID  = errors.New("its key is unknown or has ended")
)

// maxToken bounds a token, in bytes: one of ours has at most 1 KiB.
const maxToken = 4096

// wellFormed reports whether a token consists of what base64url without padding has. The library's decoder skips line ends.
func wellFormed(token string) bool {
	dots := 0
	for i := range len(token) {
		switch c := token[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		case c == '.':
			dots++
		default:
			return false
		}
	}
	return dots == 2 && len(token) <= maxToken
}

// Verify reads a token that is to open something, or answers Unauthenticated.
func (t *Tokens) Verify(token string) (Device, error) { return t.verify(token, true) }

// VerifyOpen reads the token of a request that belongs to what was opened with it: a redirect's is good for that as long as
// the device's own token.
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
		return Device{}, esh3ar.Errorf(esh3ar.Unauthenticated, "device token: %w", errTwice)
	}
	if opens && claims.ConnectBy != nil && !t.now().Before(claims.ConnectBy.Time) {
		return Device{}, esh3ar.Errorf(esh3ar.Unauthenticated, "device token: it was to connect by %s", claims.ConnectBy.UTC().Format(time.RFC3339))
	}
	r, err := esh3ar.ParseRecipient(claims.Subject)
	if err != nil || claims.Device == "" {
		return Device{}, esh3ar.Errorf(esh3ar.Unauthenticated, "device token: bad sub or did")
	}
	d := Device{Recipient: r, ID: claims.Device, Expires: claims.ExpiresAt.Time, Sent: claims.ConnectBy != nil, made: claims.made(), version: claims.Version, key: key}
	if t.Revoked(d) {
		return Device{}, esh3ar.Errorf(esh3ar.Unauthenticated, "device token: it was revoked")
	}
	return d, nil
}

// Revoked reports whether the token that a device came with is void before its end: it was revoked, or its key has ended.
func (t *Tokens) Revoked(d Device) bool {
	return !t.ring.Verifies(d.key) || t.revoked.voids(d.Recipient, d.ID, d.version, d.made)
}

func (c *deviceClaims) made() esh3ar.Time {
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
