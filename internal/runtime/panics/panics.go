// Package panics recovers panics of goroutines that handle a peer's input, so that a panic ends one connection and not the
// process. It logs the first panic of each part of the program with its stack and later ones without, and counts all of
// them. The caller must close whatever the goroutine was working on.
//
// Concurrency: a Recorder is safe for concurrent use. A nil Recorder recovers nothing, so that panics fail the tests of a
// part.
package panics

import (
	"log/slog"
	"maps"
	"runtime/debug"
	"sync"
)

// Recorder logs and counts recovered panics by part.
type Recorder struct {
	log *slog.Logger
	mu  struct {
		sync.Mutex
		counts map[string]uint64
	}
}

// New returns a Recorder for the named parts, whose counts start at zero.
func New(log *slog.Logger, parts ...string) *Recorder {
	r := &Recorder{log: log}
	r.mu.counts = map[string]uint64{}
	for _, part := range parts {
		r.mu.counts[part] = 0
	}
	return r
}

// Recover recovers a panic of the calling goroutine and records it. It must be deferred directly. Cleanup that must run after
// the recovery must be deferred before it.
func (r *Recorder) Recover(part string) {
	if r == nil {
		return
	}
	if cause := recover(); cause != nil {
		r.Record(part, cause)
	}
}

// Record logs and counts a panic that the caller has recovered. cause is the result of recover. It must be called in the
// deferred function, where the stack of the panic is still available.
func (r *Recorder) Record(part string, cause any) {
	r.mu.Lock()
	r.mu.counts[part]++
	n := r.mu.counts[part]
	r.mu.Unlock()
	if n == 1 {
		r.log.Error("recovered a panic; only its connection ends", "part", part, "cause", cause, "stack", string(debug.Stack()))
		return
	}
	r.log.Error("recovered a panic; the stack of the first one of this part is above", "part", part, "cause", cause, "count", n)
}

// Counts returns how many panics were recovered, by part.
func (r *Recorder) Counts() map[string]uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.mu.counts)
}
