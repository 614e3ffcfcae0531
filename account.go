package esh3ar

import "context"

// Business is a caller of the REST API.
type Business struct {
	ID        BusinessID
	Name      string // shown to phones as "from"; 1 to 128 code points
	Plan      string // its name; empty, or one that is not there: the default plan
	CreatedAt Time
}

// KeyHash is the SHA-256 of an API key. Keys carry 256 bits of entropy, so a plain hash cannot be reversed,
// and no store ever holds the key itself.
type KeyHash [32]byte

// APIKey is the stored form of an API key.
type APIKey struct {
	ID        KeyID
	Business  BusinessID
	Hash      KeyHash
	CreatedAt Time
	RevokedAt Time // zero: in force
}

// AccountStore keeps businesses and their keys. Writes are durable when they return; reads see every write
// that has returned.
type AccountStore interface {
	// CreateBusiness stores a business under its id.
	CreateBusiness(ctx context.Context, b Business) error
	// Business finds one by id, or NotFound.
	Business(ctx context.Context, id BusinessID) (Business, error)
	// CreateKey stores a key of an existing business, or answers NotFound.
	CreateKey(ctx context.Context, k APIKey) error
	// RevokeKey ends a key; NotFound unless that business has that key; ending it again is no error and keeps
	// the first time.
	RevokeKey(ctx context.Context, business BusinessID, key KeyID, at Time) error
	// KeyByHash finds a key, revoked or not, or NotFound.
	KeyByHash(ctx context.Context, hash KeyHash) (APIKey, error)
	// Setting reads what SettingOnce stored, or answers NotFound.
	Setting(ctx context.Context, name string) ([]byte, error)
	// SettingOnce stores value under name unless there is one already, and returns what is stored: the first
	// writer wins, for ever. Signing keys and bootstrap marks are made this way, once per store.
	SettingOnce(ctx context.Context, name string, value []byte) ([]byte, error)
}
