package embedded_test

import (
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

// failingReads makes the n-th read of a disk fail, where n is the value stored in left. Nothing fails while left is zero.
type failingReads struct {
	left, failed atomic.Int64
}

func (f *failingReads) MaybeError(op errorfs.Op) error {
	if op.Kind != errorfs.OpFileReadAt || f.left.Load() <= 0 || f.left.Add(-1) != 0 {
		return nil
	}
	f.failed.Add(1)
	return errDisk
}

func (f *failingReads) String() string { return "failing reads" }

// coldStore opens a store that has to read every row from the disk.
func coldStore(t *testing.T, disk *vfs.MemFS, reads *failingReads) *embedded.Store {
	t.Helper()
	s, err := embedded.Open("data", embedded.Options{CacheSize: 1, SettleLinger: gather, FS: errorfs.Wrap(disk.CrashClone(vfs.CrashCloneCfg{}), reads)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// eachRead makes the n-th read of work fail for every n, each on a new store, until work needs fewer than n reads.
func eachRead(t *testing.T, work func(*embedded.Store) error, check func(*embedded.Store, error)) {
	t.Helper()
	disk, _ := filled(t, 60, false)
	var failed int
	for n := int64(1); n < 500; n++ {
		reads := new(failingReads)
		s := coldStore(t, disk, reads)
		reads.left.Store(n)
		err := work(s)
		reached := reads.failed.Load() > 0
		reads.left.Store(0)
		if err != nil {
			failed++
		}
		check(s, err)
		if !reached {
			break
		}
	}
	if failed == 0 {
		t.Error("no read failed; does the test read from a cache?")
	}
}

// TestPending_ReadError_HidesNothing reads an inbox while the disk fails. The read must return an error, and a later read
// must return all messages.
func TestPending_ReadError_HidesNothing(t *testing.T) {
	query := esh3ar.InboxQuery{Recipient: recipient(0), Limit: 1000, Bytes: 1 << 20}
	eachRead(t, func(s *embedded.Store) error { return second(s.Pending(t.Context(), query)) }, func(s *embedded.Store, first error) {
		if first != nil && esh3ar.CodeOf(first) != esh3ar.StoreUnavailable {
			t.Errorf("got %v, want StoreUnavailable", first)
		}
		page, err := s.Pending(t.Context(), query)
		if err != nil || len(page.Records) != 60/recipients {
			t.Errorf("read after %v: got %d of %d messages, %v", first, len(page.Records), 60/recipients, err)
		}
	})
}

// TestAppend_ReadError_StoresNothing appends while the disk fails. No message of the call may be stored or get a seq.
func TestAppend_ReadError_StoresNothing(t *testing.T) {
	var messages []*esh3ar.Message
	eachRead(t, func(s *embedded.Store) error {
		messages = nil
		for i := range recipients {
			messages = append(messages, newMessage(i))
		}
		return second(s.Append(t.Context(), []*esh3ar.Call{keyed("k", messages...)}))
	}, func(s *embedded.Store, err error) {
		for _, m := range messages {
			_, missing := s.Message(t.Context(), m.ID)
			if (err == nil) != (missing == nil) || (err == nil) != (m.Seq != 0) {
				t.Errorf("append: %v; reading the message: %v; its seq: %d; want all or none to succeed", err, missing, m.Seq)
			}
		}
		if err := second(s.Append(t.Context(), one(newMessage(0)))); err != nil {
			t.Errorf("append after the disk has recovered: %v", err)
		}
		dense(t, s)
	})
}
