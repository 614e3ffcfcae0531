package esh3ar

import "context"

// A dead letter is a message whose life has Failed. It leaves the dead letters by a replay (Change.Replay), by a late
// acknowledgement, by Discard, or with the message's retention.

// The reasons for which messages end; they are stable words of the outward contract.
const (
	ReasonAttemptsSpent = "attempts_spent" // Failed: every attempt went unacknowledged
	ReasonDuplicate     = "duplicate"      // Canceled: another node had stored its call already
)

// DeadLetters is the queue of dead letters.
type DeadLetters interface {
	// DeadLetters pages through a business's dead letters, the latest failure first.
	DeadLetters(ctx context.Context, q DeadLetterQuery) (ListPage, error)
	// DeadLetter finds one, or NotFound: unknown, another business's, or none.
	DeadLetter(ctx context.Context, business BusinessID, id MessageID) (Record, error)
	// Discard takes a message out of the dead letters for good, or answers NotFound. The message itself stays until its
	// retention ends.
	Discard(ctx context.Context, business BusinessID, id MessageID) error
}

// DeadLetterQuery filters and bounds a listing; zero fields do not filter.
type DeadLetterQuery struct {
	Business      BusinessID
	Recipient     Recipient
	CorrelationID string
	Reason        string
	From          Time   // of the failure; inclusive
	Until         Time   // of the failure; exclusive
	Cursor        string // NextCursor of the page before; a bad one is Invalid
	Limit         int    // at least 1
}
