package powercut_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar/internal/store/powercut"
)

func TestOnlyWhatIsSyncedReachesTheDisk(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "log")
	file, err := powercut.New(vfs.Default).Create(name, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	disk := func() string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	write := func(s string) {
		if _, err := file.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	write("synced")
	if got := disk(); got != "" {
		t.Errorf("before the sync the disk holds %q", got)
	}
	if err := file.Sync(); err != nil {
		t.Fatal(err)
	}
	write(" lost")
	if full, err := file.SyncTo(100); full || err != nil {
		t.Errorf("SyncTo: %t, %v", full, err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if got := disk(); got != "synced" {
		t.Errorf("after the cut the disk holds %q", got)
	}
}
