package esh3ar

import "fmt"

// Reaction is what the platform does about an error. Each error has a code, and each code has one reaction, listed here and nowhere else. A
// test compares docs/errors.md with this table.
type Reaction uint8

// The reactions.
const (
	AnswerCaller Reaction = iota // the caller must change the call; the platform does not try again
	RetryLater                   // the platform tries again after a pause, or the caller after Retry-After
	WaitInInbox                  // the message stays in the inbox until something changes; no attempt is counted
	DeadLetter                   // the message moves to the dead letters
	StopProcess                  // nothing may be written; the next start recovers
)

var reactionNames = [...]string{"answer_caller", "retry_later", "wait_in_inbox", "dead_letter", "stop_process"}

// String returns the stable name.
func (r Reaction) String() string {
	if int(r) < len(reactionNames) {
		return reactionNames[r]
	}
	return fmt.Sprintf("reaction(%d)", uint8(r))
}

// reactions maps each code to its reaction.
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

// Reaction returns what to do about an error with this code.
func (c Code) Reaction() Reaction {
	if c < Codes {
		return reactions[c]
	}
	return reactions[Internal]
}

// ReactionTo returns what to do about err, which must not be nil.
func ReactionTo(err error) Reaction { return CodeOf(err).Reaction() }
