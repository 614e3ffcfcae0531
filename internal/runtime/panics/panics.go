// Package panics ends one connection instead of the process where a goroutine that handles a peer's bytes panics: it logs the first
// panic of each part with its stack, the others without, and counts them all. It judges nothing and repairs nothing: the caller
// closes what the goroutine was working on.
//
// Concurrency: a Recorder is for all goroutines. A nil Recorder recovers nothing, so the tests of a part fail on its panics.
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

// New makes a Recorder that counts the named parts from zero.
func New(log *slog.Logger, parts ...string) *Recorder {
	r := &Recorder{log: log}
	r.mu.counts = map[string]uint64{}
	for _, part := range parts {
		r.mu.counts[part] = 0
	}
	return r
}

// Recover ends a panic of the goroutine that deferred it. Deferred directly, it is the only statement that a goroutine needs; cleanup
// that must follow a panic is deferred before it.
func (r *Recorder) Recover(part string) {
	if r == nil {
		return
	}
	if cause := recover(); cause != nil {
		r.Note(part, cause)
	}
}

// Note logs and counts a panic that its caller has recovered; cause is what recover returned. The caller still has the stack.
func (r *Recorder) Note(part string, cause any) {
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
