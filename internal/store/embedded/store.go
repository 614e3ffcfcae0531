package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/esh3artech/esh3ar"
)

// storeFormat is the layout that this version writes. A store of a newer format is refused, of an older one migrated.
const storeFormat = 1

// Store is the embedded engine. Open makes one, Close ends it.
type Store struct {
	opts    Options
	dir     string
	db      *pebble.DB
	queue   *queue
	view    atomic.Pointer[view]
	disk    diskGauge
	floors  floors
	fault   *fault
	stopped sync.WaitGroup // the committer
}

var _ esh3ar.Store = (*Store)(nil)

// Open opens the store in dir, which must exist, or makes one there. Its errors are one line that says what to do.
func Open(dir string, opts Options) (*Store, error) {
	opts = opts.withDefaults()
	s := &Store{opts: opts, dir: dir, queue: newQueue(opts.SettleGather), fault: newFault()}
	s.disk = diskGauge{fs: opts.FS, dir: dir, min: opts.MinFree}
	db, err := pebble.Open(dir, s.pebbleOptions())
	if err != nil {
		return nil, openError(dir, err)
	}
	s.db = db
	committer, err := s.prepare()
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.publish()
	s.stopped.Go(committer.run)
	return s, nil
}

func (s *Store) pebbleOptions() *pebble.Options {
	o := &pebble.Options{
		FS:                 s.opts.FS,
		FormatMajorVersion: pebble.FormatNewest, // above FormatWALSyncChunks: damage inside the WAL is told from its torn end
		CacheSize:          s.opts.CacheSize,
		MemTableSize:       s.opts.MemTableSize,
		Logger:             pebbleLogger{s.opts.Log, s.fault},
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

func (s *Store) checkFormat() error {
	row, closer, err := s.db.Get([]byte{formatKey})
	if errors.Is(err, pebble.ErrNotFound) {
		return s.db.Set([]byte{formatKey}, []byte(strconv.Itoa(storeFormat)), pebble.Sync)
	}
	if err != nil {
		return openError(s.dir, err)
	}
	defer closer.Close()
	format, err := strconv.Atoi(string(row))
	if err != nil {
		return fmt.Errorf("store in %s is damaged: its format key reads %q; restore a backup", s.dir, row)
	}
	if format > storeFormat {
		return fmt.Errorf("store in %s has format %d, this version knows up to %d: start the newer version that wrote it", s.dir, format, storeFormat)
	}
	return nil
}

func lastEvent(db *pebble.DB) (uint64, error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{eventKey}, UpperBound: []byte{eventKey + 1}})
	if err != nil {
		return 0, err
	}
	defer it.Close()
	if !it.Last() {
		return 0, it.Error()
	}
	return binary.BigEndian.Uint64(it.Key()[1:]), nil
}

// openError turns what pebble says into a line for an operator.
func openError(dir string, err error) error {
	text := strings.ReplaceAll(err.Error(), "\n", " ")
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EACCES) && strings.Contains(text, "lock"), strings.Contains(text, "lock held by current process"):
		return fmt.Errorf("data directory %s is in use by another process: stop that one, or choose another with --data-dir", dir)
	case strings.Contains(text, "format major version"):
		return fmt.Errorf("store in %s was written by a newer version: start that one (%s)", dir, text)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return fmt.Errorf("cannot write to %s: choose a folder that this user may write to (%s)", dir, text)
	default:
		return fmt.Errorf("store in %s is damaged and was not touched: restore a backup, or move the folder aside to start empty (%s)", dir, text)
	}
}

// Close stops taking requests, commits those it has, and closes the database.
func (s *Store) Close() error {
	s.queue.close()
	s.stopped.Wait()
	s.view.Load().release()
	return s.db.Close()
}

// Failed is closed when a write or an fsync has failed: the process must stop then, for what the disk holds is
// unknown until the store is opened anew. Fault tells why.
func (s *Store) Failed() <-chan struct{} { return s.fault.failed }

// Fault is why Failed was closed; nil before.
func (s *Store) Fault() error { return s.fault.err() }

// submit queues a request and waits for its commit.
func (s *Store) submit(ctx context.Context, r *request) error {
	if err := s.queue.put(ctx, r); err != nil {
		return err
	}
	select {
	case <-r.done:
		return r.err
	case <-s.fault.failed:
		return esh3ar.Errorf(esh3ar.OutcomeUnknown, "commit: %w", s.fault.err())
	}
}
