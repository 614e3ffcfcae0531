package embedded_test

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

// walBlock is the block size of Pebble's WAL, bytes.
const walBlock = 32 << 10

// filled returns the disk of a store with n messages of about 1 KiB each: after a power failure, or after Close if closed is
// set.
func filled(t *testing.T, n int, closed bool) (*vfs.MemFS, []*esh3ar.Message) {
	t.Helper()
	disk := vfs.NewCrashableMem()
	s, err := embedded.Open("data", embedded.Options{FS: disk, MemTableSize: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	var messages []*esh3ar.Message
	for i := range n {
		m := newMessage(i)
		m.Content = strings.Repeat(string(rune('a'+i%26)), 1024)
		if _, err := s.Append(t.Context(), []*esh3ar.Call{{Business: business, Messages: []*esh3ar.Message{m}}}); err != nil {
			t.Fatal(err)
		}
		messages = append(messages, m)
	}
	cut := disk.CrashClone(vfs.CrashCloneCfg{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if closed {
		cut = disk.CrashClone(vfs.CrashCloneCfg{})
	}
	return cut, messages
}

// flip inverts bits in four bytes of a file.
func flip(t *testing.T, disk vfs.FS, name string, at int64) {
	t.Helper()
	f, err := disk.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 4)
	if _, err := f.ReadAt(p, at); err != nil {
		t.Fatal(err)
	}
	for i := range p {
		p[i] ^= 0x5a
	}
	if _, err := f.WriteAt(p, at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// largest returns the largest file with the given extension, and its size.
func largest(t *testing.T, disk vfs.FS, ending string) (name string, size int64) {
	t.Helper()
	names, err := disk.List("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if path.Ext(n) != ending {
			continue
		}
		if info, err := disk.Stat("data/" + n); err == nil && info.Size() > size {
			name, size = "data/"+n, info.Size()
		}
	}
	if name == "" {
		t.Fatalf("no file %s among %v", ending, names)
	}
	return name, size
}

// newestWAL returns the WAL that was being written. An older WAL was closed properly, and Pebble tolerates no damage in it.
func newestWAL(t *testing.T, disk vfs.FS) (name string, size int64) {
	t.Helper()
	names, err := disk.List("data")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	for _, n := range names {
		if path.Ext(n) == ".log" {
			name = "data/" + n
		}
	}
	info, err := disk.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return name, info.Size()
}

// oneLine checks an error for an operator: it must be a single line that contains the words.
func oneLine(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("got no error, want one")
	}
	text := err.Error()
	if strings.Contains(text, "\n") {
		t.Errorf("got several lines, want one: %q", text)
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("got %q, want it to contain %q", text, word)
		}
	}
}

// lastCommits is an upper bound for the size of three of filled's commits in the WAL. Pebble does not look for proofs in the last block,
// unless it is full. Of the commits before that block, the last one is not proven by a later one, nor is the part of a commit that
// continues in the last block, and a commit does not prove the one before it if it was written before the sync was noted.
const lastCommits = 4200

// TestDamagedWAL_Open_Fails damages each block of a synced WAL in turn. Open must fail and name the file and the offset. It
// can, because a later commit proves that the damaged one was synced. TestTornWAL_Opens covers the last block and the commits
// before it that nothing proves.
func TestDamagedWAL_Open_Fails(t *testing.T) {
	disk, _ := filled(t, 440, false)
	wal, size := newestWAL(t, disk)
	blocks := (size + walBlock - 1) / walBlock
	if blocks < 5 {
		t.Fatalf("got %d blocks, want at least 5", blocks)
	}
	for block := range blocks - 1 {
		for _, inside := range []int64{20, walBlock / 3, walBlock - 40} {
			if block*walBlock+inside > size-size%walBlock-lastCommits {
				continue
			}
			broken := disk.CrashClone(vfs.CrashCloneCfg{})
			flip(t, broken, wal, block*walBlock+inside)
			s, err := embedded.Open("data", smallOptions(broken))
			if err == nil {
				t.Fatalf("block %d of %d, byte %d: opened without an error, want one; close: %v", block, blocks, inside, s.Close())
			}
			oneLine(t, err, "damaged", path.Base(wal), "offset")
		}
	}
	older, size := largest(t, disk, ".log")
	if older == wal {
		return
	}
	flip(t, disk, older, size-4)
	_, err := embedded.Open("data", smallOptions(disk))
	oneLine(t, err, "damaged", path.Base(older), "offset")
}

// TestTornWAL_Opens damages the last block and the last commits of the newest WAL. No later record distinguishes this damage
// from a write torn by a power failure, so the log ends there. All messages before it must be present, without gaps.
func TestTornWAL_Opens(t *testing.T) {
	disk, messages := filled(t, 440, false)
	wal, size := newestWAL(t, disk)
	last := size%walBlock + 1000 // the end of a commit that continues in the last block is not proven
	least, opened := len(messages), 0
	for back := int64(4); back < last; back += last / 40 {
		broken := disk.CrashClone(vfs.CrashCloneCfg{})
		flip(t, broken, wal, size-back)
		s, err := embedded.Open("data", smallOptions(broken))
		if err != nil {
			oneLine(t, err, "damaged", path.Base(wal), "offset")
			continue
		}
		opened++
		least = min(least, survivors(t, s, messages))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("last %d bytes: opened %d times, with %d of %d messages at least", last, opened, least, len(messages))
	if lost := int64(len(messages) - least); lost > last/1024+1 {
		t.Errorf("damage in the last %d bytes lost %d messages of 1 KiB", last, lost)
	}
	if opened == 0 {
		t.Error("every damage was rejected: the documentation can promise more than it does")
	}
}

// survivors returns the number of messages in the store. Missing messages must be the last ones.
func survivors(t *testing.T, s *embedded.Store, messages []*esh3ar.Message) int {
	t.Helper()
	kept := slices.IndexFunc(messages, func(m *esh3ar.Message) bool { _, err := s.Message(t.Context(), m.ID); return err != nil })
	if kept < 0 {
		return len(messages)
	}
	for _, m := range messages[kept:] {
		if _, err := s.Message(t.Context(), m.ID); err == nil {
			t.Fatal("a message is present after a missing one")
		}
	}
	return kept
}

// TestDamagedTable_Read_NeverReturnsWrongContent damages a table at many places. Reads must fail or return the original
// content.
func TestDamagedTable_Read_NeverReturnsWrongContent(t *testing.T) {
	disk, messages := filled(t, 300, false)
	s, err := embedded.Open("data", smallOptions(disk)) // replaying the WAL writes tables
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	table, size := largest(t, disk, ".sst")
	refused := 0
	for i := range int64(12) {
		broken := disk.CrashClone(vfs.CrashCloneCfg{})
		flip(t, broken, table, (size-8)*i/11)
		s, err := embedded.Open("data", smallOptions(broken))
		if err != nil {
			oneLine(t, err, "damaged")
			refused++
			continue
		}
		for _, m := range messages {
			got, err := s.Message(t.Context(), m.ID)
			switch {
			case err != nil && esh3ar.CodeOf(err) == esh3ar.StoreUnavailable:
				refused++
			case err != nil:
				t.Fatalf("damage at %d of %d: got %v, want StoreUnavailable", (size-8)*i/11, size, err)
			case got.Content != m.Content:
				t.Fatal("a read returned damaged content")
			}
		}
		if err := s.Close(); err != nil {
			t.Log(err)
		}
	}
	if refused == 0 {
		t.Error("no read failed, want some")
	}
}

// TestMissingFiles_Open_Fails removes files that Pebble requires, and files whose absence it would not notice.
func TestMissingFiles_Open_Fails(t *testing.T) {
	disk, _ := filled(t, 50, true)
	s, err := embedded.Open("data", smallOptions(disk))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"MANIFEST-", "marker.manifest.", ".sst", ".log"} {
		t.Run(part, func(t *testing.T) {
			broken := disk.CrashClone(vfs.CrashCloneCfg{})
			names, err := broken.List("data")
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				if strings.HasPrefix(name, part) || path.Ext(name) == part {
					if err := broken.Remove("data/" + name); err != nil {
						t.Fatal(err)
					}
				}
			}
			_, err = embedded.Open("data", smallOptions(broken))
			oneLine(t, err, "damaged", "restore a backup")
			t.Log(err)
		})
	}
}

// TestNewerFormat_Open_Fails opens stores written by a later version, of this store and of Pebble.
func TestNewerFormat_Open_Fails(t *testing.T) {
	disk, _ := filled(t, 1, true)
	raw, err := pebble.Open("data", &pebble.Options{FS: disk, FormatMajorVersion: pebble.FormatNewest})
	if err != nil {
		t.Fatal(err)
	}
	for format, words := range map[string][]string{
		"7": {"format 7", "up to 3", "newer version"}, "0": {"damaged", "format 0"}, "x": {"damaged", `"x"`}, "": {"damaged", "no format key"},
	} {
		if format == "" {
			err = raw.Delete([]byte("f"), pebble.Sync)
		} else {
			err = raw.Set([]byte("f"), []byte(format), pebble.Sync)
		}
		if err != nil {
			t.Fatal(err)
		}
		_, err := embedded.Open("data", smallOptions(disk.CrashClone(vfs.CrashCloneCfg{})))
		oneLine(t, err, words...)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := disk.List("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "marker.format-version.") {
			later := name[:strings.LastIndex(name, ".")] + ".999"
			if err := disk.Rename("data/"+name, "data/"+later); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err = embedded.Open("data", smallOptions(disk))
	oneLine(t, err, "newer version")
}

// TestUnusableDirectory_Open_NamesCause opens directories that cannot be written to.
func TestUnusableDirectory_Open_NamesCause(t *testing.T) {
	for cause, words := range map[error][]string{
		syscall.EACCES: {"cannot write to data"}, syscall.EROFS: {"cannot write to data"}, syscall.ENOSPC: {"space"},
		errDisk: {errDisk.Error()},
	} {
		refusing := errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
				return fmt.Errorf("%s: %w", op.Path, cause)
			}
			return nil
		})
		_, err := embedded.Open("data", smallOptions(errorfs.Wrap(vfs.NewMem(), refusing)))
		oneLine(t, err, words...)
	}
}

// TestStore_OpenTwice_Fails opens a store that is already open.
func TestStore_OpenTwice_Fails(t *testing.T) {
	dir := t.TempDir()
	s, err := embedded.Open(dir, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = embedded.Open(dir, embedded.Options{})
	oneLine(t, err, dir, "in use by another process")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
