package diskguard

import (
	"fmt"
	"log/slog"
	"sync"
)

// Fault records why a database stopped: the first failed write, or damage that Pebble found in background work. After it,
// nothing is read or written.
type Fault struct { // closed by the first Set
	failed chan struct{}
	once   sync.Once
	cause  error  // written before failed is closed
	onSet  func() // releases callers that wait for a commit; must not block
}

// NewFault returns a Fault that calls end when it is set.
func NewFault(end func()) *Fault { return &Fault{failed: make(chan struct{}), onSet: end} }

// Set records the first cause. Later calls have no effect: their errors are consequences.
func (f *Fault) Set(err error) {
	f.once.Do(func() {
		f.cause = &oneLineError{err}
		close(f.failed)
		f.onSet()
	})
}

// Failed returns a channel that is closed when the fault is set.
func (f *Fault) Failed() <-chan struct{} { return f.failed }

// Err returns the fault, or nil if there is none.
func (f *Fault) Err() error {
	select {
	case <-f.failed:
		return f.cause
	default:
		return nil
	}
}

// oneLineError is an error with a one-line text; Pebble's errors have several lines.
type oneLineError struct{ error }

func (l *oneLineError) Error() string { return plainText(l.error.Error()) }
func (l *oneLineError) Unwrap() error { return l.error }

// Logger implements pebble.Logger. Guard catches most failed writes below Pebble. In the remaining cases Pebble calls
// Fatalf, which must not return, often with locks held. Fatalf therefore sets the fault and blocks its goroutine forever.
// The fault completes waiting calls, and the process exits without closing the database.
type Logger struct {
	Log   *slog.Logger
	Fault *Fault
}

// Infof implements pebble.Logger.
func (l Logger) Infof(format string, args ...any) {
	l.Log.Debug(fmt.Sprintf(format, args...))
}

// Errorf implements pebble.Logger.
func (l Logger) Errorf(format string, args ...any) {
	l.Log.Warn(fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger. It never returns.
func (l Logger) Fatalf(format string, args ...any) {
	l.Fault.Set(fmt.Errorf(format, args...))
	select {}
}
