package esh3ar

import "context"

// Verifier checks the invariants of a store.
type Verifier interface {
	// Verify reads the whole store and calls found for each broken invariant. With repair it repairs what can be repaired without loss and
	// moves the other rows aside, where a later Verify does not check them. It deletes nothing. It may run while the store is in use.
	Verify(ctx context.Context, repair bool, found func(Finding)) (VerifyReport, error)
}

// Finding is one broken invariant.
type Finding struct {
	Check     string    `json:"check"`              // the invariant, a stable word
	Where     string    `json:"where"`              // the row or the pair of rows, for people
	Detail    string    `json:"detail"`             // what is wrong, and what --repair does or did
	Action    string    `json:"action"`             // reported, mended or set_aside
	Message   MessageID `json:"messageId,omitzero"` // zero if it is not about one message
	Recipient Recipient `json:"recipient,omitzero"` // zero if it is not about one recipient
	Seq       Seq       `json:"seq,omitzero"`       // zero if it is not about one seq
}

// The actions of a Finding.
const (
	Reported = "reported"  // nothing was changed
	Mended   = "mended"    // the row was corrected from other rows
	SetAside = "set_aside" // the row was moved aside, unchanged
)

// VerifyReport counts the rows that Verify has read.
type VerifyReport struct {
	Messages    int `json:"messages"`
	Waiting     int `json:"waiting"`
	Scheduled   int `json:"scheduled"`
	DeadLetters int `json:"deadLetters"`
	Tasks       int `json:"tasks"`
	Keys        int `json:"keys"`
	Events      int `json:"events"`
	Recipients  int `json:"recipients"`
	SetAside    int `json:"aside"` // rows that an earlier repair set aside
	Findings    int `json:"findings"`
}
