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

const walBlock = 32 << 10

// filled makes a store with n messages of about 1 KiB, as a power cut leaves it, or closed.
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

// flip damages a few bytes of a file.
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

// largest finds the largest file with an ending, and its size.
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

// newestWAL finds the WAL that was being written. An older one was closed in order, and pebble takes no damage in it.
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

// oneLine checks what an operator reads.
func oneLine(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("opened as if nothing had happened")
	}
	text := err.Error()
	if strings.Contains(text, "\n") {
		t.Errorf("more than a line: %q", text)
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%q does not say %q", text, word)
		}
	}
}

// lastCommit is more than the last commit of filled takes in the WAL.
const lastCommit = 2 << 10

// TestFlippedWAL damages each block of a synced WAL in turn: it is refused, and file and offset are told. What a later
// commit in a later block vouches for is safe so; the last block and the last commit, which may begin in the block
// before, are TestTornTail's.
func TestFlippedWAL(t *testing.T) {
	disk, _ := filled(t, 440, false)
	wal, size := newestWAL(t, disk)
	blocks := (size + walBlock - 1) / walBlock
	if blocks < 5 {
		t.Fatalf("only %d blocks", blocks)
	}
	for block := range blocks - 1 {
		for _, inside := range []int64{20, walBlock / 3, walBlock - 40} {
			if block*walBlock+inside > size-lastCommit {
				continue
			}
			broken := disk.CrashClone(vfs.CrashCloneCfg{})
			flip(t, broken, wal, block*walBlock+inside)
			s, err := embedded.Open("data", smallOptions(broken))
			if err == nil {
				t.Fatalf("block %d of %d, byte %d: opened as if nothing had happened: %v", block, blocks, inside, s.Close())
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

// TestTornTail damages the last block and the last commit of the newest WAL. Nothing that was written later tells damage
// there from a write that a power cut tore, so it is taken for the end. What is left is the messages before it, whole and without holes.
func TestTornTail(t *testing.T) {
	disk, messages := filled(t, 440, false)
	wal, size := newestWAL(t, disk)
	last := max(size%walBlock, lastCommit)
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
		t.Errorf("damage in %d bytes cost %d messages of 1 KiB", last, lost)
	}
	if opened == 0 {
		t.Error("this engine refuses damage at the end: then the documents can promise more")
	}
}

// survivors counts the messages that are there; they must be the first ones.
func survivors(t *testing.T, s *embedded.Store, messages []*esh3ar.Message) int {
	t.Helper()
	kept := slices.IndexFunc(messages, func(m *esh3ar.Message) bool { _, err := s.Message(t.Context(), m.ID); return err != nil })
	if kept < 0 {
		return len(messages)
	}
	for _, m := range messages[kept:] {
		if _, err := s.Message(t.Context(), m.ID); err == nil {
			t.Fatal("a hole in the middle")
		}
	}
	return kept
}

// TestFlippedTable damages a table at many places: what it holds is refused, never given out wrong.
func TestFlippedTable(t *testing.T) {
	disk, messages := filled(t, 300, false)
	s, err := embedded.Open("data", smallOptions(disk)) // reading the WAL back makes tables
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
				t.Fatalf("damage at %d of %d is told as %v", (size-8)*i/11, size, err)
			case got.Content != m.Content:
				t.Fatal("damage was given out")
			}
		}
		if err := s.Close(); err != nil {
			t.Log(err)
		}
	}
	if refused == 0 {
		t.Error("no damage was noticed")
	}
}

// TestMissingFiles takes away what pebble needs, and what it would not miss.
func TestMissingFiles(t *testing.T) {
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

// TestNewerFormat opens what a later version wrote: our own format, and pebble's.
func TestNewerFormat(t *testing.T) {
	disk, _ := filled(t, 1, true)
	raw, err := pebble.Open("data", &pebble.Options{FS: disk, FormatMajorVersion: pebble.FormatNewest})
	if err != nil {
		t.Fatal(err)
	}
	for format, words := range map[string][]string{
		"7": {"format 7", "up to 2", "newer version"}, "0": {"damaged", "format 0"}, "x": {"damaged", `"x"`}, "": {"damaged", "no format key"},
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

// TestUnusableDirectory opens what cannot be written to.
func TestUnusableDirectory(t *testing.T) {
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

// TestOpenTwice opens a store that is open.
func TestOpenTwice(t *testing.T) {
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
