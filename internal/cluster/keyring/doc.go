// Package keyring holds the secret keys of a cluster and what is derived from them: the keys of device tokens, the sealed
// frames that nodes send each other through Redis, and the signatures of the node registry.
//
// A Ring has several keys. One of them signs; every key that has not expired verifies. A new key signs some seconds after it
// was made, so that every node knows it by then. Keys for different purposes are derived with HKDF-SHA256, so that a value
// that was made for one purpose never verifies for another.
//
// A Sealer encrypts and authenticates (AES-256-GCM). The receiver of a frame knows that a node of the same cluster made it
// for this channel, a short time ago, and that it did not come before. A signature (Ed25519) can be verified with a public
// key alone, by a gateway that has no secret.
//
// The package does not store keys and does not read them from a store: package auth does.
//
// Concurrency: every method of every type may be called from any goroutine.
package keyring
