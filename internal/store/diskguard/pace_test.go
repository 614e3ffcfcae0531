package diskguard_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar/internal/store/diskguard"
)

// TestPace_TableWrites_PauseUnderLoad: pauses are twice the work, only while goroutines wait for a CPU, and bounded for time
// spent waiting. WAL writes never pause.
func TestPace_TableWrites_PauseUnderLoad(t *testing.T) {
	for _, c := range []struct {
		name          string
		crowded       bool
		worked, pause time.Duration
	}{
		{"000001.sst", true, time.Millisecond, 2 * time.Millisecond},
		{"000001.sst", true, time.Second, 4 * time.Millisecond},
		{"000001.sst", true, 100 * time.Microsecond, 0},
		{"000001.sst", false, time.Millisecond, 0},
		{"000001.log", true, time.Millisecond, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			f, err := diskguard.Pace{FS: vfs.NewMem(), CPUContended: func() bool { return c.crowded }}.Create(c.name, vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			write := func() (took time.Duration) {
				began := time.Now()
				if n, err := f.Write([]byte("block")); n != 5 || err != nil {
					t.Errorf("got %d, %v; want 5, nil", n, err)
				}
				return time.Since(began)
			}
			if took := write(); took != 0 {
				t.Errorf("%s: first write took %s, want no pause", c.name, took)
			}
			for range 3 {
				time.Sleep(c.worked) // stands for work
				if took := write(); c.worked >= time.Millisecond && took != c.pause || c.worked < time.Millisecond && took > 0 {
					t.Errorf("%s, crowded %t, worked %s: paused %s, want %s", c.name, c.crowded, c.worked, took, c.pause)
				}
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
