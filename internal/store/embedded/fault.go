package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/esh3artech/esh3ar"
)

// fault remembers why the store stopped: the first write that the disk refused, or damage that pebble met in its own
// work. After it nothing is read or written any more.
type fault struct {
	failed chan struct{}
	once   sync.Once
	cause  error  // written before failed is closed
	end    func() // stops what waits for a commit; must not block
}

func newFault(end func()) *fault { return &fault{failed: make(chan struct{}), end: end} }

func (f *fault) set(err error) {
	f.once.Do(func() {
		f.cause = &line{err}
		close(f.failed)
		f.end()
	})
}

// line is an error told in one line; pebble's have several.
type line struct{ error }

func (l *line) Error() string { return strings.ReplaceAll(l.error.Error(), "\n", " ") }
func (l *line) Unwrap() error { return l.error }

func (f *fault) err() error {
	select {
	case <-f.failed:
		return f.cause
	default:
		return nil
	}
}

// pebbleLogger takes pebble's word. Most failed writes are caught below pebble, by guard; what is left calls Fatalf,
// which must not return, often with locks held. So the goroutine is parked there for good, waiting calls are answered
// through the fault, and the process, told by Failed, ends without closing the database.
type pebbleLogger struct {
	log   *slog.Logger
	fault *fault
}

func (l pebbleLogger) Infof(format string, args ...any) {
	l.log.Debug(fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.log.Warn(fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.fault.set(fmt.Errorf(format, args...))
	select {}
}

// readError gives a failed read its code.
func readError(operation string, err error) error {
	if _, ok := errors.AsType[*esh3ar.Error](err); ok {
		return err
	}
	return esh3ar.Errorf(esh3ar.StoreUnavailable, "%s: %w", operation, err)
}
