package esh3ar

import "context"

// Verifier checks what a store can show of its own invariants.
type Verifier interface {
	// Verify walks the whole store and reports each finding. With repair it mends what can be mended without loss and
	// sets the rest aside, where a later Verify does not count it; it deletes nothing. It may run beside other calls.
	Verify(ctx context.Context, repair bool, found func(Finding)) (Survey, error)
}

// Finding is one broken invariant.
type Finding struct {
	Check     string    `json:"check"`              // which invariant, a stable word
	Where     string    `json:"where"`              // the row or the pair of rows, for people
	Detail    string    `json:"detail"`             // what is wrong, and what --repair does or did
	Action    string    `json:"action"`             // reported, mended or set_aside
	Message   MessageID `json:"messageId,omitzero"` // zero: not about one message
	Recipient Recipient `json:"recipient,omitzero"` // zero: not about one recipient
	Seq       Seq       `json:"seq,omitzero"`       // zero: not about one place
}

// The actions of a Finding.
const (
	Reported = "reported"  // nothing was changed
	Mended   = "mended"    // the store now says what the rest of it proves
	SetAside = "set_aside" // the row was moved out of the way, whole
)

// Survey counts what Verify looked at.
type Survey struct {
	Messages    int `json:"messages"`
	Waiting     int `json:"waiting"`
	Scheduled   int `json:"scheduled"`
	DeadLetters int `json:"deadLetters"`
	Tasks       int `json:"tasks"`
	Keys        int `json:"keys"`
	Events      int `json:"events"`
	Recipients  int `json:"recipients"`
	Aside       int `json:"aside"` // rows that an earlier repair set aside
	Findings    int `json:"findings"`
}
