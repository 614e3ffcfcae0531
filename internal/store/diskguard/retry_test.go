package diskguard_test

import (
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/esh3artech/esh3ar/internal/store/diskguard"
)

// scarce is a disk on which operations that open a file fail without a descriptor, left times each.
type scarce struct {
	mu   sync.Mutex
	err  error
	left map[errorfs.OpKind]int
	met  map[errorfs.OpKind]bool
}

// String implements errorfs.Injector.
func (s *scarce) String() string { return "scarce" }

// MaybeError implements errorfs.Injector.
func (s *scarce) MaybeError(op errorfs.Op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left[op.Kind] == 0 {
		return nil
	}
	s.left[op.Kind]--
	s.met[op.Kind] = true
	return s.err
}

// opening lists the operations that need a descriptor.
var opening = []errorfs.OpKind{
	errorfs.OpCreate, errorfs.OpOpen, errorfs.OpOpenDir, errorfs.OpReuseForWrite, errorfs.OpList, errorfs.OpRemoveAll, errorfs.OpLock,
}

// TestRetry_NoDescriptor_WaitsForOne: every operation that opens a file succeeds when a descriptor is free again, and the
// Guard above sees no error.
func TestRetry_NoDescriptor_WaitsForOne(t *testing.T) {
	t.Parallel()
	for _, errno := range []error{syscall.EMFILE, syscall.ENFILE} {
		s := &scarce{err: errno, left: map[errorfs.OpKind]int{}, met: map[errorfs.OpKind]bool{}}
		for _, kind := range opening {
			s.left[kind] = 3
		}
		var log strings.Builder
		retry := diskguard.NewRetry(errorfs.Wrap(vfs.NewMem(), s), slog.New(slog.NewTextHandler(&log, nil)))
		fault := diskguard.NewFault(func() { t.Error("a missing descriptor set the fault") })
		fs := diskguard.Guard{FS: retry, Fault: fault}
		for name, operation := range map[string]func() error{
			"lock": func() error { c, err := fs.Lock("lock"); return closed(c, err) },
			"all": func() error {
				f, err := fs.Create("a", vfs.WriteCategoryUnspecified)
				if err := closed(f, err); err != nil {
					return err
				}
				f, err = fs.Open("a")
				if err := closed(f, err); err != nil {
					return err
				}
				f, err = fs.OpenReadWrite("a", vfs.WriteCategoryUnspecified)
				if err := closed(f, err); err != nil {
					return err
				}
				f, err = fs.ReuseForWrite("a", "b", vfs.WriteCategoryUnspecified)
				if err := closed(f, err); err != nil {
					return err
				}
				f, err = fs.OpenDir("")
				if err := closed(f, err); err != nil {
					return err
				}
				_, err = fs.List("")
				return errors.Join(err, fs.RemoveAll("b"))
			},
		} {
			if err := operation(); err != nil {
				t.Errorf("%v: %s: %v", errno, name, err)
			}
		}
		for _, kind := range opening {
			if !s.met[kind] {
				t.Errorf("operation %v never failed: the test does not cover it", kind)
			}
		}
		if retry.Repeats() == 0 || !strings.Contains(log.String(), "raise the limit of open files") {
			t.Errorf("%v: %d repeats, log %q", errno, retry.Repeats(), log.String())
		}
	}
}

// closed closes c, unless opening it failed.
func closed(c io.Closer, err error) error {
	if err != nil {
		return err
	}
	return c.Close()
}

// TestRetry_RenamedButNotOpened_Opens: only the open of a reuse needs a descriptor.
func TestRetry_RenamedButNotOpened_Opens(t *testing.T) {
	t.Parallel()
	inner := &halfReuse{FS: vfs.NewMem()}
	f, err := inner.Create("a", vfs.WriteCategoryUnspecified)
	if err := closed(f, err); err != nil {
		t.Fatal(err)
	}
	f, err = diskguard.NewRetry(inner, slog.New(slog.DiscardHandler)).ReuseForWrite("a", "b", vfs.WriteCategoryUnspecified)
	if err := closed(f, err); err != nil {
		t.Errorf("reuse: %v", err)
	}
	if _, err := inner.Stat("b"); err != nil {
		t.Errorf("stat new name: %v", err)
	}
}

// halfReuse renames the file, then fails without a descriptor.
type halfReuse struct{ vfs.FS }

func (h *halfReuse) ReuseForWrite(oldname, newname string, _ vfs.DiskWriteCategory) (vfs.File, error) {
	return nil, errors.Join(h.Rename(oldname, newname), syscall.EMFILE)
}

// TestRetry_OtherError_IsReturned: other errors are returned at once.
func TestRetry_OtherError_IsReturned(t *testing.T) {
	t.Parallel()
	retry := diskguard.NewRetry(vfs.NewMem(), slog.New(slog.DiscardHandler))
	if _, err := retry.Open("missing"); err == nil || retry.Repeats() != 0 {
		t.Errorf("open: got %v after %d repeats, want an error after 0", err, retry.Repeats())
	}
	if diskguard.NewRetry(retry, nil) != retry {
		t.Error("NewRetry of a Retry returned a new one")
	}
}
