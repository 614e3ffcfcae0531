package spill_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ingest/spill"
)

// failingWrites lets the n-th write operation of a disk fail and every later one; none if n is zero.
type failingWrites struct {
	n     int64
	count atomic.Int64
}

var errDisk = errors.New("input/output error")

func (f *failingWrites) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpFileClose {
		return nil
	}
	if f.count.Add(1) >= f.n && f.n > 0 {
		return errDisk
	}
	return nil
}

func (f *failingWrites) String() string { return fmt.Sprint("fails from write ", f.n) }

// outcome is what the callers of a scenario were answered.
type outcome struct {
	accepted, refused []*esh3ar.Message
	err               error // the error that ended the scenario; nil if none
}

// scenario appends, drains and appends again until something fails.
func scenario(t *testing.T, fs vfs.FS, store *memoryStore) (result outcome) {
	t.Helper()
	s, err := spill.Open("spill", spill.Options{FS: fs, MemTable: 64 << 10})
	if err != nil {
		result.err = err
		return result
	}
	defer func() {
		if result.err == nil {
			result.err = s.Close()
		}
	}()
	for i := range 60 {
		m := message(alice, strings.Repeat(fmt.Sprint(i), 1000))
		_, err := s.Append(t.Context(), []*esh3ar.Call{keyed(call(m), fmt.Sprint(i), 1)})
		if err == nil {
			result.accepted = append(result.accepted, m)
		} else if esh3ar.CodeOf(err) != esh3ar.OutcomeUnknown {
			result.refused = append(result.refused, m)
		}
		if err == nil && i%20 == 19 {
			err = spill.NewDrainer(s, store, spill.DrainOptions{}).Drain(t.Context())
		}
		if err != nil {
			result.err = err
			<-s.Failed()
			if s.Fault() == nil {
				t.Error("Fault: got nil after Failed was closed, want the error")
			}
			m := message(alice, "after the fault")
			_, err := s.Append(t.Context(), []*esh3ar.Call{call(m)})
			if esh3ar.CodeOf(err) != esh3ar.StoreUnavailable {
				t.Errorf("after the fault: got %v, want store_unavailable", err)
			}
			result.refused = append(result.refused, m)
			return result
		}
	}
	return result
}

// TestSpill_EveryWriteFails_KeepsPromises lets the disk fail from each write operation on, in turn. An accepted message must be in the store
// once after the next start; a refused one must not be there.
func TestSpill_EveryWriteFails_KeepsPromises(t *testing.T) {
	whole := &failingWrites{}
	if result := scenario(t, errorfs.Wrap(vfs.NewCrashableMem(), whole), newMemoryStore()); result.err != nil {
		t.Fatalf("without a fault: got %v, want nil", result.err)
	}
	writes, stopped := whole.count.Load(), 0
	step := int64(1)
	if testing.Short() {
		step = 7
	}
	for n := int64(1); n <= writes; n += step {
		disk, store := vfs.NewCrashableMem(), newMemoryStore()
		result := scenario(t, errorfs.Wrap(disk, &failingWrites{n: n}), store)
		if result.err != nil {
			stopped++
		}
		clone := disk.CrashClone(vfs.CrashCloneCfg{})
		s, err := spill.Open("spill", spill.Options{FS: clone})
		if err != nil {
			if len(result.accepted) > 0 {
				t.Fatalf("fault at write %d of %d: open: got %v, want nil", n, writes, err)
			}
			continue
		}
		if err := spill.NewDrainer(s, store, spill.DrainOptions{}).Drain(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if missing, extra := compare(store.contents, result); missing+extra > 0 {
			t.Fatalf("fault at write %d of %d: got %d messages lost or stored twice, %d refused but stored; %v", n, writes, missing, extra, result.err)
		}
	}
	t.Logf("%d writes, %d scenarios stopped", writes, stopped)
	if stopped == 0 {
		t.Error("got no scenario stopped by a fault, want some")
	}
}

// compare returns how many accepted messages are not stored exactly once, and how often refused ones are stored.
func compare(contents []string, result outcome) (missing, extra int) {
	count := map[string]int{}
	for _, content := range contents {
		count[content]++
	}
	for _, m := range result.accepted {
		if count[m.Content] != 1 {
			missing++
		}
	}
	for _, m := range result.refused {
		extra += count[m.Content]
	}
	return missing, extra
}

// TestOpen_DamagedRow_MovesToQuarantine flips a bit in every seventh byte of a row, in turn. The other rows are drained.
func TestOpen_DamagedRow_MovesToQuarantine(t *testing.T) {
	t.Parallel()
	length := 1
	for at := 0; at < length; at += 7 {
		r := newFixture(t, spill.Options{})
		r.add(call(message(alice, "a")))
		r.add(keyed(call(message(alice, "damaged")), "k", 1))
		r.add(call(message(bob, "b")))
		if err := r.Spill.Close(); err != nil {
			t.Fatal(err)
		}
		length = damage(t, r.disk, 2, at)
		r.open()
		if s := r.Stats(); s.Calls != 2 || s.Messages != 2 || s.InQuarantine != 1 {
			t.Fatalf("byte %d: got stats %+v, want 2 calls and 1 in quarantine", at, s)
		}
		if _, ok, err := r.KnownKey(keyed(call(message(alice, "damaged")), "k", 1)); ok || err != nil {
			t.Errorf("key of the damaged call: got %t, %v, want unknown", ok, err)
		}
		r.reopen()
		store := newMemoryStore()
		if err := spill.NewDrainer(r.Spill, store, spill.DrainOptions{}).Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		store.want(t, "a", "b")
		q := r.quarantine()
		if len(q) != 1 || q[0].Call != nil || len(q[0].Row) != length || q[0].Reason == "" {
			t.Errorf("byte %d: got quarantine %+v, want the damaged row with a reason", at, q)
		}
		if n, err := r.Readmit(t.Context()); n != 0 || err != nil {
			t.Errorf("Readmit: got %d, %v, want 0", n, err)
		}
		_ = r.Spill.Close()
	}
}

// damage flips a bit of the row at a position and returns the row's length.
func damage(t *testing.T, disk vfs.FS, position, at int) (length int) {
	t.Helper()
	db, err := pebble.Open("spill", &pebble.Options{FS: disk, FormatMajorVersion: pebble.FormatNewest, Logger: nopLogger{}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	key := append([]byte{'q'}, 0, 0, 0, 0, 0, 0, 0, byte(position))
	row, closer, err := db.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	damaged := append([]byte{}, row...)
	_ = closer.Close()
	damaged[at] ^= 4
	if err := db.Set(key, damaged, pebble.Sync); err != nil {
		t.Fatal(err)
	}
	return len(damaged)
}

type nopLogger struct{}

func (nopLogger) Infof(string, ...any)  {}
func (nopLogger) Errorf(string, ...any) {}
func (nopLogger) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

// TestOpen_BadFormat_ExplainsInOneLine checks that the error is one line that names the folder.
func TestOpen_BadFormat_ExplainsInOneLine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set  func(*pebble.DB) error
		want string
	}{
		"newer":    {func(db *pebble.DB) error { return db.Set([]byte{'f'}, []byte("99"), pebble.Sync) }, "newer version"},
		"older":    {func(db *pebble.DB) error { return db.Set([]byte{'f'}, []byte("1"), pebble.Sync) }, "`esh3ar spill drain` of that version"},
		"garbled":  {func(db *pebble.DB) error { return db.Set([]byte{'f'}, []byte("x"), pebble.Sync) }, "damaged"},
		"unmarked": {func(db *pebble.DB) error { return db.Delete([]byte{'f'}, pebble.Sync) }, "damaged"},
		"bad key":  {func(db *pebble.DB) error { return db.Set([]byte{'q', 1}, nil, pebble.Sync) }, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newFixture(t, spill.Options{})
			r.add(call(message(alice, "a")))
			if err := r.Spill.Close(); err != nil {
				t.Fatal(err)
			}
			db, err := pebble.Open("spill", &pebble.Options{FS: r.disk, FormatMajorVersion: pebble.FormatNewest, Logger: nopLogger{}})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(c.set(db), db.Close()); err != nil {
				t.Fatal(err)
			}
			_, err = spill.Open("spill", spill.Options{FS: r.disk})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "spill") || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, c.want)
			}
		})
	}
}
