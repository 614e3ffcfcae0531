package diskguard

import (
	"fmt"
	"log/slog"
	"sync"
)

// Fault remembers why a database stopped: the first write that the disk refused, or damage that pebble met in its own
// work. After it nothing is read or written any more.
type Fault struct {
	failed chan struct{}
	once   sync.Once
	cause  error  // written before failed is closed
	end    func() // stops what waits for a commit; must not block
}

// NewFault makes one that calls end when it is set.
func NewFault(end func()) *Fault { return &Fault{failed: make(chan struct{}), end: end} }

// Set notes the first cause; later ones are its consequences.
func (f *Fault) Set(err error) {
	f.once.Do(func() {
		f.cause = &line{err}
		close(f.failed)
		f.end()
	})
}

// Failed is closed when there is a fault.
func (f *Fault) Failed() <-chan struct{} { return f.failed }

// Err is the fault, nil while there is none.
func (f *Fault) Err() error {
	select {
	case <-f.failed:
		return f.cause
	default:
		return nil
	}
}

// line is an error whose text is one line; pebble's have several.
type line struct{ error }

func (l *line) Error() string { return plainText(l.error.Error()) }
func (l *line) Unwrap() error { return l.error }

// Logger takes pebble's word. Most failed writes are caught below pebble, by guard; what is left calls Fatalf,
// which must not return, often with locks held. So the goroutine is parked there for good, waiting calls are answered
// through the fault, and the process, told by Failed, ends without closing the database.
type Logger struct {
	Log   *slog.Logger
	Fault *Fault
}

// Infof realises pebble.Logger.
func (l Logger) Infof(format string, args ...any) {
	l.Log.Debug(fmt.Sprintf(format, args...))
}

// Errorf realises pebble.Logger.
func (l Logger) Errorf(format string, args ...any) {
	l.Log.Warn(fmt.Sprintf(format, args...))
}

// Fatalf realises pebble.Logger.
func (l Logger) Fatalf(format string, args ...any) {
	l.Fault.Set(fmt.Errorf(format, args...))
	select {}
}
