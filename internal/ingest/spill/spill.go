package spill

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/runtime/drain"
	"github.com/esh3artech/esh3ar/internal/store/diskguard"
)

// Spill is the queue. Open makes one, Close ends it.
type Spill struct {
	opts   Options
	dir    string
	db     *pebble.DB
	fault  *diskguard.Fault
	damage diskguard.Damage
	gauge  diskguard.Gauge
	held   held
	stats  counters
	inside drain.Gate // those who touch the database
	// turn is the writer's place, capacity 1: positions are given and keys compared one caller at a time. Callers wait for it
	// on their context; there are as many as intake has goroutines that commit, and the drain.
	turn  chan struct{}
	grown chan struct{} // capacity 1: a signal to the drain
}

// Open opens the spill in dir, which must exist, or makes one there. Its errors are one line that says what to do. It walks
// over all entries: about a second for each GiB.
func Open(dir string, opts Options) (*Spill, error) {
	s := &Spill{opts: opts.withDefaults(dir), dir: dir, turn: make(chan struct{}, 1), grown: make(chan struct{}, 1)}
	s.fault = diskguard.NewFault(func() {})
	s.damage.What, s.damage.Dir, s.damage.Log = "spill", dir, s.opts.Log
	s.gauge = diskguard.Gauge{FS: s.opts.FS, Now: s.opts.Now, Dir: dir, Reserve: s.opts.Reserve, Log: s.opts.Log}
	s.held.mu.recipients = map[esh3ar.Recipient]int{}
	if err := s.guarded(s.open); err != nil {
		return nil, err
	}
	return s, nil
}

// guarded runs what writes: a fault parks whoever met it, and that must not be the caller.
func (s *Spill) guarded(write func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil { // pebble panics where it cannot make or turn a WAL
				s.fault.Set(fmt.Errorf("%v", p))
			}
		}()
		done <- write()
	}()
	select {
	case err := <-done:
		return err
	case <-s.fault.Failed():
		return esh3ar.Errorf(esh3ar.StoreFailed, "spill in %s: %w", s.dir, s.fault.Err())
	}
}

func (s *Spill) open() (err error) {
	if err := diskguard.CheckFiles(s.opts.FS, "spill", s.dir); err != nil {
		return err
	}
	if s.db, err = pebble.Open(s.dir, s.pebbleOptions()); err != nil {
		return diskguard.OpenError("spill", s.dir, err)
	}
	if err := errors.Join(s.checkFormat(), s.count()); err != nil {
		return errors.Join(err, s.db.Close())
	}
	return nil
}

func (s *Spill) pebbleOptions() *pebble.Options {
	return &pebble.Options{
		FS:                 diskguard.Guard{FS: s.opts.FS, Fault: s.fault},
		FormatMajorVersion: pebble.FormatNewest, // above FormatWALSyncChunks: damage inside the WAL is told from its torn end
		CacheSize:          cacheSize,
		MemTableSize:       s.opts.MemTable,
		MaxOpenFiles:       s.opts.MaxOpenFiles,
		Logger:             diskguard.Logger{Log: s.opts.Log, Fault: s.fault},
		EventListener:      diskguard.Listener(&s.damage, s.fault),
	}
}

var errClosed = esh3ar.Errorf(esh3ar.StoreUnavailable, "the spill is closed")

// enter lets a call in that is to touch the database; it leaves by inside.Leave. After a fault nobody gets in: pebble may
// hold its locks for good then, and a reader would hang in them.
func (s *Spill) enter() error {
	if s.fault.Err() != nil {
		return s.failed()
	}
	if !s.inside.Enter() {
		return errClosed
	}
	return nil
}

// begin takes the writer's turn.
func (s *Spill) begin(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-s.fault.Failed():
		s.inside.Leave()
		return s.failed()
	case <-ctx.Done():
		s.inside.Leave()
		return esh3ar.Errorf(esh3ar.Abandoned, "wait for the spill: %w", context.Cause(ctx))
	}
}

func (s *Spill) end() {
	<-s.turn
	s.inside.Leave()
}

func (s *Spill) failed() error {
	return esh3ar.Errorf(esh3ar.StoreUnavailable, "spill: %w", s.fault.Err())
}

// commit writes a batch; the caller has the turn. After a fault nothing is written: what the disk holds is unknown.
func (s *Spill) commit(batch *pebble.Batch, mode *pebble.WriteOptions) error {
	if s.fault.Err() != nil {
		return s.failed()
	}
	err := s.guarded(func() error { return batch.Commit(mode) })
	if err == nil {
		return nil
	}
	s.fault.Set(err)
	return esh3ar.Errorf(esh3ar.OutcomeUnknown, "write to the spill: %w", err)
}

// release gives the memory of a batch back, unless a parked goroutine may be working on it still.
func (s *Spill) release(batch *pebble.Batch) {
	if s.fault.Err() == nil {
		_ = batch.Close() // only gives memory back
	}
}

// Failed is closed when a write or an fsync has failed: the process must stop then, for what the disk holds is unknown
// until the spill is opened anew. Fault tells why.
func (s *Spill) Failed() <-chan struct{} { return s.fault.Failed() }

// Fault is why Failed was closed; nil before.
func (s *Spill) Fault() error { return s.fault.Err() }

// Damage collects what was found damaged since it was opened.
func (s *Spill) Damage() *diskguard.Damage { return &s.damage }

// Space returns the room on the spill's volume.
func (s *Spill) Space() diskguard.Space { return s.gauge.Space() }

// Close waits for the calls under way and closes the database. One with a fault is left as it is, with its lock: pebble
// cannot be closed then, and the process is about to end.
func (s *Spill) Close() error {
	if !s.inside.Close() {
		return nil
	}
	if err := s.fault.Err(); err != nil {
		return err
	}
	return s.guarded(s.db.Close)
}
