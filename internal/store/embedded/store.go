package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/diskguard"
)

// Store is the embedded store engine. Open creates one, Close shuts it down.
type Store struct {
	opts          Options
	dir           string
	db            *pebble.DB
	queue         *queue
	view          atomic.Pointer[view] // latest published view; nil after Close
	views         sync.WaitGroup       // views whose snapshot is still open
	gauge         diskguard.Gauge
	lowWater      lowWaterMarks
	leases        leases
	stats         counters
	fault         *diskguard.Fault
	damage        diskguard.Damage
	recovery      Recovery
	committerDone sync.WaitGroup // done when the committer has returned
	closeOnce     sync.Once
}

var _ esh3ar.Store = (*Store)(nil)

// Open opens the store in dir, or creates one there. The directory must exist. Errors are a single line that names the
// remedy.
func Open(dir string, opts Options) (*Store, error) {
	opts = opts.withDefaults(dir)
	s := &Store{opts: opts, dir: dir, queue: newQueue(opts.SettleLinger)}
	s.fault = diskguard.NewFault(s.queue.close)
	s.damage.Kind = "store"
	s.damage.Dir = dir
	s.damage.Log = s.opts.Log
	s.gauge = diskguard.Gauge{FS: opts.FS, Now: opts.Now, Dir: dir, Reserve: opts.Reserve, Log: opts.Log}
	opened := make(chan error, 1)
	go func() { opened <- s.open() }() // after a fault, the goroutine that met it blocks forever; that must not be Open's caller
	select {
	case err := <-opened:
		if err != nil {
			s.queue.close()
			return nil, err
		}
		return s, nil
	case <-s.fault.Failed():
		return nil, fmt.Errorf("open store in %s: %w", dir, s.fault.Err())
	}
}

func (s *Store) open() (err error) {
	// Pebble panics if it cannot create or rotate a WAL.
	began := time.Now()
	s.recovery = reportWALs(s.opts.FS, s.dir)
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("open store in %s: %v", s.dir, p)
		}
	}()
	if err := diskguard.CheckFiles(s.opts.FS, "store", s.dir); err != nil {
		return err
	}
	if s.db, err = pebble.Open(s.dir, s.pebbleOptions()); err != nil {
		return diskguard.OpenError("store", s.dir, err)
	}
	committer, err := s.prepare()
	if err != nil {
		return errors.Join(err, s.db.Close())
	}
	s.publish()
	s.recovery.Events, s.recovery.Took = committer.position, time.Since(began)
	s.committerDone.Go(committer.run)
	return nil
}

func (s *Store) pebbleOptions() *pebble.Options {
	o := &pebble.Options{
		FS:                 diskguard.Guard{FS: diskguard.Pace{FS: s.opts.FS, CPUContended: s.opts.CPUContended}, Fault: s.fault},
		FormatMajorVersion: pebble.FormatNewest, // newer than FormatWALSyncChunks: distinguishes damage inside the WAL from a torn tail
		CacheSize:          s.opts.CacheSize,
		MemTableSize:       s.opts.MemTableSize,
		MaxOpenFiles:       s.opts.MaxOpenFiles,
		// Recipients are random, so a compaction into the base level rewrites most of it. More tables in level 0 and a
		// larger base level halve the frequency of these compactions, which saves about a tenth of a node's CPU under load.
		L0CompactionThreshold: 8,
		LBaseMaxBytes:         int64(s.opts.baseLevel),
		Logger:                diskguard.Logger{Log: s.opts.Log, Fault: s.fault},
		EventListener:         diskguard.Listener(&s.damage, s.fault),
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10) // most reads of steps look for a row that does not exist
	}
	return o
}

// prepare checks the format, reads the position of the last event, and returns the committer.
func (s *Store) prepare() (*committer, error) {
	if err := s.checkFormat(); err != nil {
		return nil, err
	}
	last, err := lastEvent(s.db)
	if err != nil {
		return nil, err
	}
	return &committer{store: s, position: last, counters: map[esh3ar.Recipient]esh3ar.Seq{}}, nil
}

// lastEvent returns the position of the newest event ever written, even if retention has deleted that event since.
func lastEvent(db interface {
	source
	iterable
},
) (uint64, error) {
	trimmed, _, err := readTrimmed(db)
	if err != nil {
		return 0, err
	}
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{eventKey}, UpperBound: []byte{eventKey + 1}})
	if err != nil {
		return 0, err
	}
	defer it.Close()
	if !it.Last() {
		return trimmed, it.Error()
	}
	return max(trimmed, binary.BigEndian.Uint64(it.Key()[1:])), nil
}

// Close rejects new requests, commits the queued ones, waits for running readers, and closes the database. After a fault,
// Close leaves the database open and its directory locked: Pebble cannot be closed then, and the process is expected to
// exit.
func (s *Store) Close() error {
	var err error
	s.closeOnce.Do(func() {
		s.queue.close()
		closed := make(chan error, 1)
		go func() { closed <- s.shutDown() }() // after a fault, the goroutine that met it blocks forever; that must not be Close's caller
		select {
		case err = <-closed:
		case <-s.fault.Failed():
			err = s.fault.Err()
		}
	})
	return err
}

func (s *Store) shutDown() error {
	s.committerDone.Wait()
	if err := s.fault.Err(); err != nil {
		return err
	}
	s.view.Swap(nil).release()
	s.views.Wait()
	return s.db.Close()
}

// Failed returns a channel that is closed when a write or an fsync has failed. The process must exit then: the durable state
// is unknown until the store is opened again. Fault returns the cause.
func (s *Store) Failed() <-chan struct{} { return s.fault.Failed() }

// Fault returns the error that closed Failed, or nil.
func (s *Store) Fault() error { return s.fault.Err() }

// Damage returns the damage found since the store was opened.
func (s *Store) Damage() *diskguard.Damage { return &s.damage }

// Space returns the free space on the store's volume.
func (s *Store) Space() diskguard.Space { return s.gauge.Space() }

// submit queues a request and waits until it is committed.
func (s *Store) submit(ctx context.Context, r *request) error {
	if err := s.queue.put(ctx, r); err != nil {
		if fault := s.fault.Err(); fault != nil {
			return esh3ar.Errorf(esh3ar.StoreUnavailable, "commit: %w", fault)
		}
		return err
	}
	select {
	case <-r.done:
		return r.err
	case <-s.fault.Failed():
		select {
		case <-r.done: // completed before the fault
			return r.err
		default:
		}
		return esh3ar.Errorf(esh3ar.OutcomeUnknown, "commit: %w", s.fault.Err())
	}
}
