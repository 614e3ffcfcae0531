package embedded

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/esh3artech/esh3ar"
)

// fault remembers the first failed write. After it nothing is written any more.
type fault struct {
	failed chan struct{}
	once   sync.Once
	cause  error // written before failed is closed
}

func newFault() *fault { return &fault{failed: make(chan struct{})} }

func (f *fault) set(err error) {
	f.once.Do(func() {
		f.cause = fmt.Errorf("the disk refused a write, so what it holds is unknown until a restart: %w", err)
		close(f.failed)
	})
}

func (f *fault) err() error {
	select {
	case <-f.failed:
		return f.cause
	default:
		return nil
	}
}

// pebbleLogger takes pebble's word. Its Fatalf must not return, and pebble calls it with locks held when the WAL
// cannot be written; so the goroutine is parked there for good, waiting calls are answered through the fault, and
// the process, told by Failed, ends without closing the database.
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
