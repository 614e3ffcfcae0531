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

// failing makes the n-th write operation of a disk fail, and every one after it.
type failing struct {
	n     int64
	count atomic.Int64
}

var errDisk = errors.New("input/output error")

func (f *failing) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpFileClose {
		return nil
	}
	if f.count.Add(1) >= f.n && f.n > 0 {
		return errDisk
	}
	return nil
}

func (f *failing) String() string { return fmt.Sprint("fails from write ", f.n) }

// story is what the callers of a scenario were told.
type story struct {
	kept, refused []*esh3ar.Message
	err           error
}

// scenario appends, drains and appends again until something fails.
func scenario(t *testing.T, fs vfs.FS, store *shop) (told story) {
	t.Helper()
	s, err := spill.Open("spill", spill.Options{FS: fs, MemTable: 64 << 10})
	if err != nil {
		told.err = err
		return told
	}
	defer func() {
		if told.err == nil {
			told.err = s.Close()
		}
	}()
	for i := range 60 {
		m := message(alice, strings.Repeat(fmt.Sprint(i), 1000))
		_, err := s.Append(t.Context(), []*esh3ar.Call{keyed(call(m), fmt.Sprint(i), 1)})
		switch {
		case err == nil:
			told.kept = append(told.kept, m)
		case esh3ar.CodeOf(err) != esh3ar.OutcomeUnknown:
			told.refused = append(told.refused, m)
		}
		if err == nil && i%20 == 19 {
			err = spill.NewDrainer(s, store, spill.DrainOptions{}).Drain(t.Context())
		}
		if err != nil {
			told.err = err
			<-s.Failed()
			if s.Fault() == nil {
				t.Error("no fault told")
			}
			m := message(alice, "after the fault")
			_, err := s.Append(t.Context(), []*esh3ar.Call{call(m)})
			if esh3ar.CodeOf(err) != esh3ar.StoreUnavailable {
				t.Errorf("after the fault: %v", err)
			}
			told.refused = append(told.refused, m)
			return told
		}
	}
	return told
}

// TestEveryWriteFails lets the disk fail from each write operation on, in turn. What was answered must be in the store or
// come there with the next start, once; what was refused must not.
func TestEveryWriteFails(t *testing.T) {
	whole := &failing{}
	if told := scenario(t, errorfs.Wrap(vfs.NewCrashableMem(), whole), newShop()); told.err != nil {
		t.Fatalf("without any fault: %v", told.err)
	}
	writes, stopped := whole.count.Load(), 0
	step := int64(1)
	if testing.Short() {
		step = 7
	}
	for n := int64(1); n <= writes; n += step {
		disk, store := vfs.NewCrashableMem(), newShop()
		told := scenario(t, errorfs.Wrap(disk, &failing{n: n}), store)
		if told.err != nil {
			stopped++
		}
		clone := disk.CrashClone(vfs.CrashCloneCfg{})
		s, err := spill.Open("spill", spill.Options{FS: clone})
		if err != nil {
			if len(told.kept) > 0 {
				t.Fatalf("at write %d of %d: %v", n, writes, err)
			}
			continue
		}
		if err := spill.NewDrainer(s, store, spill.DrainOptions{}).Drain(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if missing, extra := compare(store.contents, told); missing+extra > 0 {
			t.Fatalf("at write %d of %d: %d lost or doubled, %d refused and there; %v", n, writes, missing, extra, told.err)
		}
	}
	t.Logf("%d writes, %d scenarios stopped", writes, stopped)
	if stopped == 0 {
		t.Error("no fault reached the spill")
	}
}

func compare(contents []string, told story) (missing, extra int) {
	count := map[string]int{}
	for _, content := range contents {
		count[content]++
	}
	for _, m := range told.kept {
		if count[m.Content] != 1 {
			missing++
		}
	}
	for _, m := range told.refused {
		extra += count[m.Content]
	}
	return missing, extra
}

// TestADamagedRecordIsSetAside flips each byte of a record in turn: the others are drained, the damaged one is kept.
func TestADamagedRecordIsSetAside(t *testing.T) {
	t.Parallel()
	length := 1
	for at := 0; at < length; at += 7 {
		r := newRig(t, spill.Options{})
		r.keep(call(message(alice, "a")))
		r.keep(keyed(call(message(alice, "damaged")), "k", 1))
		r.keep(call(message(bob, "b")))
		if err := r.Spill.Close(); err != nil {
			t.Fatal(err)
		}
		length = damage(t, r.disk, 2, at)
		r.open()
		if s := r.Stats(); s.Calls != 2 || s.Messages != 2 || s.InQuarantine != 1 {
			t.Fatalf("byte %d: %+v", at, s)
		}
		if _, ok, err := r.KnownKey(keyed(call(message(alice, "damaged")), "k", 1)); ok || err != nil {
			t.Errorf("its key: %t, %v", ok, err)
		}
		r.reopen()
		store := newShop()
		if err := spill.NewDrainer(r.Spill, store, spill.DrainOptions{}).Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		store.want(t, "a", "b")
		q := r.quarantine()
		if len(q) != 1 || q[0].Call != nil || len(q[0].Row) != length || q[0].Reason == "" {
			t.Errorf("byte %d: %+v", at, q)
		}
		if n, err := r.Readmit(t.Context()); n != 0 || err != nil {
			t.Errorf("readmitted %d, %v", n, err)
		}
		_ = r.Spill.Close()
	}
}

// damage flips a bit of the record at a position, behind pebble's back.
func damage(t *testing.T, disk vfs.FS, position, at int) (length int) {
	t.Helper()
	db, err := pebble.Open("spill", &pebble.Options{FS: disk, FormatMajorVersion: pebble.FormatNewest, Logger: quiet{}})
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

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}

// TestWhatCannotBeOpenedSaysWhy: one line with the folder.
func TestWhatCannotBeOpenedSaysWhy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		set  func(*pebble.DB) error
		want string
	}{
		"newer":    {func(db *pebble.DB) error { return db.Set([]byte{'f'}, []byte("99"), pebble.Sync) }, "newer version"},
		"garbled":  {func(db *pebble.DB) error { return db.Set([]byte{'f'}, []byte("x"), pebble.Sync) }, "damaged"},
		"unmarked": {func(db *pebble.DB) error { return db.Delete([]byte{'f'}, pebble.Sync) }, "damaged"},
		"bad key":  {func(db *pebble.DB) error { return db.Set([]byte{'q', 1}, nil, pebble.Sync) }, "damaged"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, spill.Options{})
			r.keep(call(message(alice, "a")))
			if err := r.Spill.Close(); err != nil {
				t.Fatal(err)
			}
			db, err := pebble.Open("spill", &pebble.Options{FS: r.disk, FormatMajorVersion: pebble.FormatNewest, Logger: quiet{}})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(c.set(db), db.Close()); err != nil {
				t.Fatal(err)
			}
			_, err = spill.Open("spill", spill.Options{FS: r.disk})
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "spill") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v", err)
			}
		})
	}
}
