package embedded_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

// lockedLog is a log buffer that is safe for concurrent use.
type lockedLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// tables returns the disk of a closed store whose messages are in a table.
func tables(t *testing.T) (*vfs.MemFS, []*esh3ar.Message) {
	t.Helper()
	disk, messages := filled(t, 300, false)
	s, err := embedded.Open("data", smallOptions(disk)) // replaying the WAL writes tables
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return disk, messages
}

// leaks are fragments of stack traces and internal errors, which an operator must not see.
var leaks = []string{"goroutine", "withstack", "carrier", ".go:", "*errutil", "attached stack"}

// TestDamagedTable_Verify_NamesFileAndOffsetOnce damages data blocks, index, properties and footer of a table.
func TestDamagedTable_Verify_NamesFileAndOffsetOnce(t *testing.T) {
	t.Parallel()
	disk, _ := tables(t)
	table, size := largest(t, disk, ".sst")
	for i := range int64(24) {
		at := (size - 8) * i / 23
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			broken := disk.CrashClone(vfs.CrashCloneCfg{})
			flip(t, broken, table, at)
			log := &lockedLog{}
			options := smallOptions(broken)
			options.Log = slog.New(slog.NewTextHandler(log, nil))
			s, err := embedded.Open("data", options)
			if err != nil { // Pebble has already read the block, for its statistics
				oneLine(t, err, "damaged", path.Base(table), "restore a backup")
				return
			}
			defer s.Close()
			findings := 0
			_, err = s.Verify(t.Context(), false, func(esh3ar.Finding) { findings++ })
			if s.Fault() != nil {
				err = s.Fault()
			}
			oneLine(t, err, "damaged", path.Base(table), "restore a backup")
			if at < size-60 && !strings.Contains(err.Error(), "at offset ") { // the footer has no block
				t.Errorf("got error %q, want one with an offset", err)
			}
			if findings > 0 || s.Fault() == nil && s.Damage().Err() == nil {
				t.Errorf("got %d findings and damage %v, want no findings and a recorded damage", findings, s.Damage().Err())
			}
			for _, word := range leaks {
				if text := err.Error() + log.String(); strings.Contains(text, word) {
					t.Errorf("got %q in output: %s", word, text)
				}
			}
		})
	}
}

// TestVerify_TableBeingWritten_IsNotDamage verifies a store while its directory contains an incomplete table, as a flush or a compaction
// leaves one until it ends.
func TestVerify_TableBeingWritten_IsNotDamage(t *testing.T) {
	t.Parallel()
	disk, _ := tables(t)
	s, err := embedded.Open("data", smallOptions(disk))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f, err := disk.Create("data/999999.sst", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("incomplete")); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	survey, err := s.Verify(t.Context(), false, func(esh3ar.Finding) {})
	if err != nil || survey.Findings > 0 || s.Damage().Places() > 0 {
		t.Errorf("got %d findings, %d damaged places, %v; want none", survey.Findings, s.Damage().Places(), err)
	}
}

// TestDamagedTable_Read_LogsEachPlaceOnce reads the same damaged place repeatedly.
func TestDamagedTable_Read_LogsEachPlaceOnce(t *testing.T) {
	t.Parallel()
	disk, messages := tables(t)
	table, size := largest(t, disk, ".sst")
	flip(t, disk, table, size/4)
	log := &lockedLog{}
	options := smallOptions(disk)
	options.Log = slog.New(slog.NewTextHandler(log, nil))
	s, err := embedded.Open("data", options)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	refused := 0
	for range 3 {
		for _, m := range messages {
			if _, err := s.Message(t.Context(), m.ID); err != nil {
				oneLine(t, err, "read message", "checksum")
				refused++
			}
		}
	}
	if refused < 6 {
		t.Fatalf("%d reads failed, want at least 6", refused)
	}
	if got := strings.Count(log.String(), "\n"); got != 1 || s.Damage().Places() != 1 {
		t.Errorf("got %d log lines for %d failed reads of %d places, want 1 line and 1 place:\n%s", got, refused, s.Damage().Places(), log)
	}
	for _, word := range []string{path.Base(table), "at offset ", "restore a backup"} {
		if err := s.Damage().Err(); err == nil || !strings.Contains(err.Error(), word) || !strings.Contains(log.String(), word) {
			t.Errorf("got error %v and log %s, both want %q", err, log, word)
		}
	}
}

// TestDamagedManifest_Open_Fails damages every byte of the manifest. Records after an unreadable one must never be dropped
// silently. Only damage to both checksum and length, or both length and content, of the very last record looks like a record
// torn by a power failure.
func TestDamagedManifest_Open_Fails(t *testing.T) {
	t.Parallel()
	disk, _ := tables(t)
	manifest := newestManifest(t, disk)
	info, err := disk.Stat(manifest)
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	for at := int64(0); at <= info.Size()-4; at++ {
		broken := disk.CrashClone(vfs.CrashCloneCfg{})
		flip(t, broken, manifest, at)
		s, err := embedded.Open("data", smallOptions(broken))
		if err == nil {
			opened++
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			continue
		}
		oneLine(t, err, "damaged", path.Base(manifest), "offset", "restore a backup")
	}
	if opened > 4 {
		t.Errorf("opened %d times of %d without an error, want at most 4", opened, info.Size())
	}
	for at := int64(0); at < info.Size(); at++ { // damage to a single byte is always found
		broken := disk.CrashClone(vfs.CrashCloneCfg{})
		flipByte(t, broken, manifest, at)
		if s, err := embedded.Open("data", smallOptions(broken)); err == nil {
			t.Errorf("byte %d of %d: opened without an error, want one; close: %v", at, info.Size(), s.Close())
		}
	}
}

func flipByte(t *testing.T, disk vfs.FS, name string, at int64) {
	t.Helper()
	f, err := disk.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 1)
	if _, err := f.ReadAt(p, at); err != nil {
		t.Fatal(err)
	}
	p[0] ^= 0x5a
	if _, err := f.WriteAt(p, at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// newestManifest returns the path of the manifest that the marker file names.
func newestManifest(t *testing.T, disk vfs.FS) string {
	t.Helper()
	names, err := disk.List("data")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, "marker.manifest.") {
			return "data/" + name[strings.LastIndex(name, ".")+1:]
		}
	}
	t.Fatalf("no marker file among %v", names)
	return ""
}

// TestTornManifest_Opens appends torn records to the manifest. A record torn by a power failure is the last one and was
// never synced.
func TestTornManifest_Opens(t *testing.T) {
	t.Parallel()
	disk, messages := tables(t)
	manifest := newestManifest(t, disk)
	for _, tail := range []string{"\x01", "\x01\x02\x03\x04\x50\x00", "\x01\x02\x03\x04\x50\x00\x01abc", strings.Repeat("\x00", 300), "\x01\x02\x03\x04\x60\x00\x01ab" + strings.Repeat("\x00", 300)} {
		broken := disk.CrashClone(vfs.CrashCloneCfg{})
		appendTo(t, broken, manifest, tail)
		s, err := embedded.Open("data", smallOptions(broken))
		if err != nil {
			t.Errorf("%q: %v", tail, err)
			continue
		}
		if got := survivors(t, s, messages); got != len(messages) {
			t.Errorf("tail %q: got %d of %d messages", tail, got, len(messages))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func appendTo(t *testing.T, disk vfs.FS, name, tail string) {
	t.Helper()
	info, err := disk.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := disk.OpenReadWrite(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(tail), info.Size()); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
