package esh3ar

import "context"

// A dead letter is a message whose current life ended as Failed. A replay (Change.Replay), a late acknowledgement, Discard or the end of
// the retention removes it from the dead letters.

// The reasons why messages end. They are stable words of the outward contract.
const (
	ReasonAttemptsSpent = "attempts_spent" // Failed: no attempt was acknowledged
	ReasonDuplicate     = "duplicate"      // Canceled: another node had stored a call with its key
)

// DeadLetters lists and discards dead letters.
type DeadLetters interface {
	// DeadLetters returns a page of a business's dead letters, latest failure first.
	DeadLetters(ctx context.Context, q DeadLetterQuery) (ListPage, error)
	// DeadLetter returns a dead letter. The error is NotFound if the message is unknown, of another business, or no dead letter.
	DeadLetter(ctx context.Context, business BusinessID, id MessageID) (Record, error)
	// Discard removes a message from the dead letters for good. The error is NotFound if it is not there. The message itself stays until
	// its retention ends.
	Discard(ctx context.Context, business BusinessID, id MessageID) error
}

// DeadLetterQuery filters and bounds a listing. Zero fields do not filter.
type DeadLetterQuery struct {
	Business      BusinessID
	Recipient     Recipient
	CorrelationID string
	Reason        string
	From          Time   // earliest time of the failure, inclusive
	Until         Time   // latest time of the failure, exclusive
	Cursor        string // NextCursor of the previous page; the error is Invalid if it is malformed
	Limit         int    // records; at least 1
}
