package esh3ar

import "context"

// Revocation makes the tokens of a phone invalid that were issued before it.
type Revocation struct {
	Version   uint64 // 1, 2, … in commit order; set by the store
	Recipient Recipient
	Device    string // one of the recipient's devices; empty for all
	At        Time
}

// CredentialStore stores signing keys and revocations of tokens. Writes are durable when they return; reads see every write that has
// returned.
type CredentialStore interface {
	// SwapSetting replaces the value of a setting if it equals old. The error is InUse if it does not, or if there is no such setting.
	SwapSetting(ctx context.Context, name string, old, value []byte) error
	// RevokeTokens stores a revocation and returns its version. It replaces an earlier one of the same recipient and device.
	RevokeTokens(ctx context.Context, r Revocation) (version uint64, err error)
	// RevokedTokens returns at most limit revocations with a version above after, sorted by version. A reader that has read up to a
	// version has missed none below it.
	RevokedTokens(ctx context.Context, after uint64, limit int) ([]Revocation, error)
	// DeleteRevocations deletes some of the revocations from before a time. more reports whether there may be further ones.
	DeleteRevocations(ctx context.Context, before Time) (more bool, err error)
}
