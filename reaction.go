package esh3ar

import "fmt"

// Reaction is what the platform does about an error. It is decided here and nowhere else: each error has a code, each
// code one reaction, and docs/errors.md is held against this table.
type Reaction uint8

// The reactions.
const (
	AnswerCaller Reaction = iota // it is the caller's to change; nothing here will be tried again
	RetryLater                   // the same will be tried again, by us after a pause or by the caller after Retry-After
	WaitInInbox                  // the message stays where it is until something changes; no attempt is spent
	DeadLetter                   // the message leaves its inbox for the dead letters
	StopProcess                  // nothing may be written any more; the next start recovers
)

var reactionNames = [...]string{"answer_caller", "retry_later", "wait_in_inbox", "dead_letter", "stop_process"}

// String is the stable name.
func (r Reaction) String() string {
	if int(r) < len(reactionNames) {
		return reactionNames[r]
	}
	return fmt.Sprintf("reaction(%d)", uint8(r))
}

// reactions has one entry per code.
var reactions = [Codes]Reaction{
	Internal:            RetryLater,
	Invalid:             AnswerCaller,
	Unauthenticated:     AnswerCaller,
	Forbidden:           AnswerCaller,
	NotFound:            AnswerCaller,
	NotCancelable:       AnswerCaller,
	InUse:               AnswerCaller,
	IdempotencyMismatch: AnswerCaller,
	NotSupported:        AnswerCaller,
	RateLimited:         AnswerCaller,
	Overloaded:          RetryLater,
	StoreUnavailable:    RetryLater,
	StorageFull:         RetryLater,
	OutcomeUnknown:      RetryLater,
	Abandoned:           AnswerCaller,
	NotAcknowledged:     RetryLater,
	AttemptsSpent:       DeadLetter,
	ConnectionLost:      WaitInInbox,
	ConnectionFull:      WaitInInbox,
	DeviceFailing:       WaitInInbox,
	StoreFailed:         StopProcess,
}

// Reaction is what to do about an error of this code.
func (c Code) Reaction() Reaction {
	if c < Codes {
		return reactions[c]
	}
	return reactions[Internal]
}

// ReactionTo is what to do about err; it must not be asked of nil.
func ReactionTo(err error) Reaction { return CodeOf(err).Reaction() }
