package bench

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWrittenBy_SyncedFile_CountsItsBytes writes a file; the test has no other way to make the count grow by that much.
func TestWrittenBy_SyncedFile_CountsItsBytes(t *testing.T) {
	t.Parallel()
	const size = 8 << 20
	dir := t.TempDir()
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	if fs.Type == unix.TMPFS_MAGIC {
		t.Skip("the temporary directory is in memory, where the kernel counts no writes; set TMPDIR")
	}
	before, err := writtenBy(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	after, err := writtenBy(os.Getpid())
	if err != nil || after-before < size {
		t.Errorf("written bytes: got %d more, %v, want at least %d", after-before, err, size)
	}
}

func TestSizeOf_FilesInFolders_AreAddedUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "a"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"one": 1000, "a/two": 234} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := sizeOf(dir); err != nil || got != 1234 {
		t.Errorf("size: got %d, %v, want 1234", got, err)
	}
	if got, err := sizeOf(filepath.Join(dir, "none")); err != nil || got != 0 {
		t.Errorf("size of a removed directory: got %d, %v, want 0", got, err)
	}
}
