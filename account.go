package esh3ar

import "context"

// Business is a caller of the REST API.
type Business struct {
	ID        BusinessID
	Name      string // shown to phones as "from"; 1 to 128 code points
	Plan      string // name of its plan; the default plan applies if it is empty or names no plan
	CreatedAt Time
}

// KeyHash is the SHA-256 of an API key. Keys have 256 bits of entropy, so a plain hash cannot be reversed. No store holds the key itself.
type KeyHash [32]byte

// APIKey is the stored form of an API key.
type APIKey struct {
	ID        KeyID
	Business  BusinessID
	Hash      KeyHash
	CreatedAt Time
	RevokedAt Time // zero while the key is valid
}

// AccountStore stores businesses and their keys. Writes are durable when they return; reads see every write that has returned.
type AccountStore interface {
	// CreateBusiness stores a business under its id.
	CreateBusiness(ctx context.Context, b Business) error
	// Business returns a business by id. The error is NotFound if there is none.
	Business(ctx context.Context, id BusinessID) (Business, error)
	// CreateKey stores a key of an existing business. The error is NotFound if there is no such business.
	CreateKey(ctx context.Context, k APIKey) error
	// RevokeKey revokes a key of a business. The error is NotFound if the business has no such key. Revoking a key again is no error and
	// does not change the time.
	RevokeKey(ctx context.Context, business BusinessID, key KeyID, at Time) error
	// KeyByHash returns a key, revoked or not. The error is NotFound if there is none.
	KeyByHash(ctx context.Context, hash KeyHash) (APIKey, error)
	// Setting returns the value of a setting. The error is NotFound if there is none.
	Setting(ctx context.Context, name string) ([]byte, error)
	// InitSetting stores value under name unless the setting exists, and returns the stored value: the first writer wins.
	// Signing keys and the marks of the first start are made this way, once per store.
	InitSetting(ctx context.Context, name string, value []byte) ([]byte, error)
}
