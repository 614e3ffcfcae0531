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

// Spill is the queue. Open makes one; it must be closed.
type Spill struct {
	opts   Options
	dir    string
	db     *pebble.DB
	fault  *diskguard.Fault
	damage diskguard.Damage
	gauge  diskguard.Gauge
	index  index
	stats  counters
	gate   drain.Gate // counts the calls that use db, so that Close can wait for them
	// writer is a mutex that can be waited for with a context: one caller at a time assigns positions and compares keys. It is held
	// while the channel, of capacity 1, is full. The waiters are the two committing goroutines of the intake and the drain.
	writer chan struct{}
	grown  chan struct{} // capacity 1: the queue has new entries; read by the drain
}

// Open opens the spill in dir, or creates one there; dir must exist. It reads all entries, which takes about a second per GiB. Its errors
// are one line that says what to do.
func Open(dir string, opts Options) (*Spill, error) {
	s := &Spill{opts: opts.withDefaults(dir), dir: dir, writer: make(chan struct{}, 1), grown: make(chan struct{}, 1)}
	s.fault = diskguard.NewFault(func() {})
	s.damage.Kind = "spill"
	s.damage.Dir = dir
	s.damage.Log = s.opts.Log
	s.gauge = diskguard.Gauge{FS: s.opts.FS, Now: s.opts.Now, Dir: dir, Reserve: s.opts.Reserve, Log: s.opts.Log}
	s.index.mu.recipients = map[esh3ar.Recipient]int{}
	if err := s.untilFault(s.open); err != nil {
		return nil, err
	}
	return s, nil
}

// untilFault runs write in a goroutine and returns its error, or the fault if there is one first. After a fault the goroutine that met it
// is parked for good, so it must not be the caller's.
func (s *Spill) untilFault(write func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil { // pebble panics if it cannot create or rotate a WAL
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

func (s *Spill) open() error {
	var err error
	if err := diskguard.CheckFiles(s.opts.FS, "spill", s.dir); err != nil {
		return err
	}
	s.db, err = pebble.Open(s.dir, s.pebbleOptions())
	if err != nil {
		return diskguard.OpenError("spill", s.dir, err)
	}
	if err := errors.Join(s.checkFormat(), s.loadIndex()); err != nil {
		return errors.Join(err, s.db.Close())
	}
	return nil
}

func (s *Spill) pebbleOptions() *pebble.Options {
	return &pebble.Options{
		FS:                 diskguard.Guard{FS: s.opts.FS, Fault: s.fault},
		FormatMajorVersion: pebble.FormatNewest, // at least FormatWALSyncChunks, which tells damage inside a WAL from a torn end
		CacheSize:          cacheSize,
		MemTableSize:       s.opts.MemTable,
		MaxOpenFiles:       s.opts.MaxOpenFiles,
		Logger:             diskguard.Logger{Log: s.opts.Log, Fault: s.fault},
		EventListener:      diskguard.Listener(&s.damage, s.fault),
	}
}

var errClosed = esh3ar.Errorf(esh3ar.StoreUnavailable, "the spill is closed")

// enter begins a call that uses db; gate.Leave ends it. After a fault it returns an error: pebble may hold its locks for good then, and a
// reader would block on them.
func (s *Spill) enter() error {
	if s.fault.Err() != nil {
		return s.faultError()
	}
	if !s.gate.Enter() {
		return errClosed
	}
	return nil
}

// lockWriter enters and locks the writer; unlockWriter ends both.
func (s *Spill) lockWriter(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	select {
	case s.writer <- struct{}{}:
		return nil
	case <-s.fault.Failed():
		s.gate.Leave()
		return s.faultError()
	case <-ctx.Done():
		s.gate.Leave()
		return esh3ar.Errorf(esh3ar.Abandoned, "wait for the spill: %w", context.Cause(ctx))
	}
}

func (s *Spill) unlockWriter() {
	<-s.writer
	s.gate.Leave()
}

func (s *Spill) faultError() error {
	return esh3ar.Errorf(esh3ar.StoreUnavailable, "spill: %w", s.fault.Err())
}

// commit writes a batch. The caller has locked the writer. After a fault nothing is written, because the state of the disk is unknown.
func (s *Spill) commit(batch *pebble.Batch, mode *pebble.WriteOptions) error {
	if s.fault.Err() != nil {
		return s.faultError()
	}
	err := s.untilFault(func() error { return batch.Commit(mode) })
	if err == nil {
		return nil
	}
	s.fault.Set(err)
	return esh3ar.Errorf(esh3ar.OutcomeUnknown, "write to the spill: %w", err)
}

// closeBatch returns the memory of a batch to pebble, except after a fault: a parked goroutine may still use the batch.
func (s *Spill) closeBatch(batch *pebble.Batch) {
	if s.fault.Err() == nil {
		_ = batch.Close() // it only returns memory
	}
}

// Failed returns a channel that is closed when a write or an fsync has failed. The process must stop then: the state of the disk is
// unknown until the spill is opened again. Fault returns the cause.
func (s *Spill) Failed() <-chan struct{} { return s.fault.Failed() }

// Fault returns the error that closed Failed; nil before.
func (s *Spill) Fault() error { return s.fault.Err() }

// Damage returns the damage that was found since the spill was opened.
func (s *Spill) Damage() *diskguard.Damage { return &s.damage }

// Space returns the space on the spill's volume.
func (s *Spill) Space() diskguard.Space { return s.gauge.Space() }

// Close waits for running calls and closes the database. After a fault it returns the fault and leaves the database open and locked:
// pebble cannot be closed then, and the process is about to end.
func (s *Spill) Close() error {
	if !s.gate.Close() {
		return nil
	}
	if err := s.fault.Err(); err != nil {
		return err
	}
	return s.untilFault(s.db.Close)
}
