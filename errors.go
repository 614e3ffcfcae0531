package esh3ar

import (
	"errors"
	"fmt"
	"time"
)

// Code classifies an error for the three kinds of code that act on it: an answer to a caller, the end of a connection, and the count of a
// delivery attempt. Each edge has one table from codes to its answers.
type Code uint8

// The codes. The zero value is Internal: an unclassified error is a fault of the platform.
const (
	Internal            Code = iota
	Invalid                  // bad input; the text names the field
	Unauthenticated          // missing, bad or revoked credential
	Forbidden                // valid credential of the wrong kind
	NotFound                 // unknown, or of another business
	NotCancelable            // the message was already handed to a connection
	InUse                    // it cannot be deleted or replaced while it is in use
	IdempotencyMismatch      // the key was used for a different call
	NotSupported             // known, but not implemented
	RateLimited              // above a limit of the caller; retry later
	Overloaded               // above a limit of the system; retry later
	StoreUnavailable         // the store cannot answer now; retry later
	StorageFull              // the disk is nearly full; retry later
	OutcomeUnknown           // the change may or may not be committed
	Abandoned                // the caller left before the work began; nothing was committed

	// Failures of pushes. No caller waits for an answer to these.

	NotAcknowledged // the phone was connected and did not acknowledge in time
	AttemptsSpent   // the same, at the last attempt
	ConnectionLost  // the connection ended or stopped responding
	ConnectionFull  // the phone reads more slowly than messages arrive
	DeviceFailing   // the breaker of the device is open

	StoreFailed // a write or an fsync failed: the state of the disk is unknown

	// Codes is the number of codes.
	Codes
)

var codeNames = [...]string{
	"internal", "invalid", "unauthenticated", "forbidden", "not_found", "not_cancelable", "in_use", "idempotency_mismatch",
	"not_supported", "rate_limited", "overloaded", "store_unavailable", "storage_full", "outcome_unknown", "abandoned",
	"not_acknowledged", "attempts_spent", "connection_lost", "connection_full", "device_failing", "store_failed",
}

// String returns the stable name.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("code(%d)", uint8(c))
}

// Error is an error of the platform: a code to act on, a text for people, and the cause.
type Error struct {
	Code       Code
	Text       string        // lower case, no trailing period; names the field, flag or operation
	RetryAfter time.Duration // for codes with "retry later"; zero for the default of the edge
	Err        error         // may be nil
}

// Error returns the text and the cause, joined by a colon.
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

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an error with a code. %w works as in fmt.Errorf.
func Errorf(code Code, format string, args ...any) error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// CodeOf returns the code of err or of an error that it wraps, Internal if there is none. err should not be nil.
func CodeOf(err error) Code {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return Internal
}
