package esh3ar

import (
	"errors"
	"fmt"
	"time"
)

// Code classifies an error for the three audiences that must act on it: a caller that is answered, a
// connection that is closed, an attempt that is counted. Each edge has one table from codes to its answers.
type Code uint8

// The codes. The zero value is Internal: what nobody classified is ours.
const (
	Internal            Code = iota
	Invalid                  // the caller's input; the message names the field
	Unauthenticated          // no, bad or revoked credential
	Forbidden                // a good credential of the wrong kind
	NotFound                 // unknown, or somebody else's
	NotCancelable            // the message was handed to a connection already
	InUse                    // it cannot go while somebody has it
	IdempotencyMismatch      // the key was used for another call
	NotSupported             // known, not built yet
	RateLimited              // over the caller's own limit; retry later
	Overloaded               // over the system's limit; retry later
	StoreUnavailable         // the store cannot answer now; retry later
	StorageFull              // the disk is nearly full; retry later
	OutcomeUnknown           // it may or may not have been committed
	Abandoned                // the caller left before the work was taken up; nothing was committed

	// What happens to pushes; no caller is waiting for an answer to these.

	NotAcknowledged // the phone was there and did not acknowledge in time
	AttemptsSpent   // the same, for the last time
	ConnectionLost  // the connection ended, or is dead without a word
	ConnectionFull  // the phone reads more slowly than messages come
	DeviceFailing   // the breaker of the device is open

	StoreFailed // a write or an fsync failed: what the disk holds is unknown

	// Codes is how many there are.
	Codes
)

var codeNames = [...]string{
	"internal", "invalid", "unauthenticated", "forbidden", "not_found", "not_cancelable", "in_use", "idempotency_mismatch",
	"not_supported", "rate_limited", "overloaded", "store_unavailable", "storage_full", "outcome_unknown", "abandoned",
	"not_acknowledged", "attempts_spent", "connection_lost", "connection_full", "device_failing", "store_failed",
}

// String is the stable name.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("code(%d)", uint8(c))
}

// Error is the platform's error: a code to act on, words for people, and what caused it.
type Error struct {
	Code       Code
	Text       string        // lower case, no trailing period; names the field, flag or operation
	RetryAfter time.Duration // for the codes that say "retry later"; zero: the edge's default
	Err        error         // may be nil
}

// Error joins the text and the cause.
func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return e.Text
	case e.Text == "":
		return e.Err.Error()
	default:
		return e.Text + ": " + e.Err.Error()
	}
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an error with a code; %w works as in fmt.Errorf.
func Errorf(code Code, format string, args ...any) error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// CodeOf finds the code of err or of what it wraps; unknown errors are Internal. It must not be asked of nil.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}
