package esh3ar

import "context"

// Revocation ends the tokens of a phone that were made before it.
type Revocation struct {
	Version   uint64 // counts 1, 2, … in the order of the commits; set by the store
	Recipient Recipient
	Device    string // one of the recipient's devices; empty: all of them
	At        Time
}

// CredentialStore keeps what says which credentials are in force, beside accounts. Writes are durable when they return; reads
// see every write that has returned.
type CredentialStore interface {
	// SwapSetting replaces the value of a setting if it is still old, and is InUse if it is another one or there is none.
	SwapSetting(ctx context.Context, name string, old, value []byte) error
	// RevokeTokens stores a revocation, in place of an earlier one of the same recipient and device, and returns its version.
	RevokeTokens(ctx context.Context, r Revocation) (version uint64, err error)
	// RevokedTokens returns at most limit revocations with a version above after, by version. Who has read up to a version
	// has missed none below it.
	RevokedTokens(ctx context.Context, after uint64, limit int) ([]Revocation, error)
	// ForgetRevocations deletes some revocations from before a time; more reports that there may be more.
	ForgetRevocations(ctx context.Context, before Time) (more bool, err error)
}
