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

// Store is the embedded engine. Open makes one, Close ends it.
type Store struct {
	opts    Options
	dir     string
	db      *pebble.DB
	queue   *queue
	view    atomic.Pointer[view] // nil once closed
	views   sync.WaitGroup       // views whose snapshot is open
	gauge   diskguard.Gauge
	floors  floors
	leases  leases
	stats   counters
	fault   *diskguard.Fault
	damage  diskguard.Damage
	found   Recovery
	stopped sync.WaitGroup // the committer
	closing sync.Once
}

var _ esh3ar.Store = (*Store)(nil)

// Open opens the store in dir, which must exist, or makes one there. Its errors are one line that says what to do.
func Open(dir string, opts Options) (*Store, error) {
	opts = opts.withDefaults(dir)
	s := &Store{opts: opts, dir: dir, queue: newQueue(opts.SettleGather)}
	s.fault = diskguard.NewFault(s.queue.close)
	s.damage.What, s.damage.Dir, s.damage.Log = "store", dir, s.opts.Log
	s.gauge = diskguard.Gauge{FS: opts.FS, Now: opts.Now, Dir: dir, Reserve: opts.Reserve, Log: opts.Log}
	opened := make(chan error, 1)
	go func() { opened <- s.open() }() // a fault parks whoever met it, and that must not be Open's caller
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
	began := time.Now()
	s.found = leftBehind(s.opts.FS, s.dir)
	defer func() {
		if p := recover(); p != nil { // pebble panics where it cannot make or turn a WAL
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
	s.found.Events, s.found.Took = committer.position, time.Since(began)
	s.stopped.Go(committer.run)
	return nil
}

func (s *Store) pebbleOptions() *pebble.Options {
	o := &pebble.Options{
		FS:                 diskguard.Guard{FS: diskguard.Pace{FS: s.opts.FS, Crowded: s.opts.Crowded}, Fault: s.fault},
		FormatMajorVersion: pebble.FormatNewest, // above FormatWALSyncChunks: damage inside the WAL is told from its torn end
		CacheSize:          s.opts.CacheSize,
		MemTableSize:       s.opts.MemTableSize,
		MaxOpenFiles:       s.opts.MaxOpenFiles,
		// Recipients are random, so a compaction into the base level rewrites most of it. Waiting for more tables and a
		// larger base halves how often that happens: about a tenth of a node's CPU under load.
		L0CompactionThreshold: 8,
		LBaseMaxBytes:         int64(s.opts.baseLevel),
		Logger:                diskguard.Logger{Log: s.opts.Log, Fault: s.fault},
		EventListener:         diskguard.Listener(&s.damage, s.fault),
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10) // most reads of steps ask for a row that is not there
	}
	return o
}

// prepare checks the format and finds where the event log ends.
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

// lastEvent is the position of the newest event there ever was: trimming may have taken it.
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

// Close stops taking requests, commits those it has, waits for the readers under way, and closes the database. A
// store with a fault is left as it is, with its lock: pebble cannot be closed then, and the process is about to end.
func (s *Store) Close() (err error) {
	s.closing.Do(func() {
		s.queue.close()
		closed := make(chan error, 1)
		go func() { closed <- s.shutDown() }() // a fault parks whoever met it, and that must not be Close's caller
		select {
		case err = <-closed:
		case <-s.fault.Failed():
			err = s.fault.Err()
		}
	})
	return err
}

func (s *Store) shutDown() error {
	s.stopped.Wait()
	if err := s.fault.Err(); err != nil {
		return err
	}
	s.view.Swap(nil).release()
	s.views.Wait()
	return s.db.Close()
}

// Failed is closed when a write or an fsync has failed: the process must stop then, for what the disk holds is
// unknown until the store is opened anew. Fault tells why.
func (s *Store) Failed() <-chan struct{} { return s.fault.Failed() }

// Fault is why Failed was closed; nil before.
func (s *Store) Fault() error { return s.fault.Err() }

// Damage collects what was found damaged since it was opened.
func (s *Store) Damage() *diskguard.Damage { return &s.damage }

// Space returns the room on the store's volume.
func (s *Store) Space() diskguard.Space { return s.gauge.Space() }

// submit queues a request and waits for its commit.
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
		case <-r.done: // it was answered before the fault
			return r.err
		default:
		}
		return esh3ar.Errorf(esh3ar.OutcomeUnknown, "commit: %w", s.fault.Err())
	}
}
