// Package transfer copies a whole store into an empty one of another engine, and proves that both hold the same.
//
// It knows the rows of a store apart from any engine: engines read and write them. It decides nothing about which store is in
// use; that is the wiring's. What an engine derives from other rows (the inbox, the listings, the dead letters) is no row here.
//
// Concurrency: a copy is one goroutine's; nothing else may write to either store meanwhile.
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
	// Revoked is the version of the newest revocation there ever was.
	Revoked struct{ Version uint64 }
	// Counter is the highest seq of a recipient.
	Counter struct {
		Recipient esh3ar.Recipient
		Seq       esh3ar.Seq
	}
	// Message is a message with all that happened to it. ExpiresAt is that of its current life.
	Message struct {
		esh3ar.Message
		Progress  lifecycle.Steps
		Discarded bool // a dead letter that was deleted
	}
	// Key is an idempotency key with the answer of its call.
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
	// Trimmed is how far the event log was trimmed: everything that happened later is there.
	Trimmed struct{ Since esh3ar.Time }
)

// Own is the first character of the settings that belong to one store.
const Own = "."

// Reader is a store that is copied.
type Reader interface {
	// Rows calls each with every row: businesses before API keys, messages before the events, events in the order of the log.
	// Idempotency keys that end before now are left out. It ends with the first error of each.
	Rows(ctx context.Context, now esh3ar.Time, each func(row any) error) error
}

// Writer fills an empty store.
type Writer interface {
	// Put adds a row; it need not be durable before Flush.
	Put(ctx context.Context, row any) error
	// Flush returns when every row is on durable storage.
	Flush(ctx context.Context) error
}
