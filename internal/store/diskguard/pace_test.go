package diskguard_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar/internal/store/diskguard"
)

// TestTablesGiveWay: twice as long as they worked, in a crowd only, and never for what waited; the WAL never does.
func TestTablesGiveWay(t *testing.T) {
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
			f, err := diskguard.Pace{FS: vfs.NewMem(), Crowded: func() bool { return c.crowded }}.Create(c.name, vfs.WriteCategoryUnspecified)
			if err != nil {
				t.Fatal(err)
			}
			write := func() (took time.Duration) {
				began := time.Now()
				if n, err := f.Write([]byte("block")); n != 5 || err != nil {
					t.Errorf("wrote %d: %v", n, err)
				}
				return time.Since(began)
			}
			if took := write(); took != 0 {
				t.Errorf("%s: the first write took %s", c.name, took)
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
