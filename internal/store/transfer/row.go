// Package transfer copies a whole store into an empty store of another engine, and verifies that both hold the same rows.
//
// Its row types are independent of any engine: each engine implements Reader and Writer. Data that an engine derives from other rows
// (the inbox, the listings, the dead letters) has no row type. The package does not decide which store is in use; the caller does.
//
// Concurrency: a copy runs in one goroutine, and nothing else may write to either store meanwhile.
package transfer

import (
	"context"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// A row is one of esh3ar.Business, esh3ar.APIKey, esh3ar.Plan, esh3ar.Usage, esh3ar.Revocation, esh3ar.Task or a type of this file.
type (
	// Setting is a named value. Names that begin with Own belong to one store and are not copied.
	Setting struct {
		Name  string
		Value []byte
	}
	// Revoked is the highest version that any revocation has had.
	Revoked struct{ Version uint64 }
	// Counter is the highest seq of a recipient.
	Counter struct {
		Recipient esh3ar.Recipient
		Seq       esh3ar.Seq
	}
	// Message is a message with its history. ExpiresAt belongs to its current life.
	Message struct {
		esh3ar.Message
		Progress  lifecycle.Steps
		Discarded bool // a dead letter that was deleted
	}
	// Key is an idempotency key with the stored answer of its call.
	Key struct {
		Business    esh3ar.BusinessID
		Sum         [32]byte // SHA-256 of the key
		Fingerprint [32]byte
		ExpiresAt   esh3ar.Time
		Batch       esh3ar.BatchID
		Receipts    []esh3ar.Receipt
	}
	// Event is an entry of the event log.
	Event struct{ lifecycle.Entry }
	// Trimmed is the position up to which the event log was trimmed: all later events are present.
	Trimmed struct{ Since esh3ar.Time }
)

// Own is the first character of the settings that belong to one store.
const Own = "."

// Reader is the source of a copy.
type Reader interface {
	// Rows calls each with every row: businesses before API keys, messages before the events, events in the order of the log.
	// Idempotency keys that expire before now are left out. Rows stops at the first error of each and returns it.
	Rows(ctx context.Context, now esh3ar.Time, each func(row any) error) error
}

// Writer is the target of a copy. The store must be empty.
type Writer interface {
	// Put adds a row; it need not be durable before Flush.
	Put(ctx context.Context, row any) error
	// Flush returns when every row is on durable storage.
	Flush(ctx context.Context) error
}
