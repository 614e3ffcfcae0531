package embedded_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar/internal/store/embedded"
	"github.com/esh3artech/esh3ar/internal/store/storetest"
)

// TestStore runs the suite for store engines, on a disk that loses unsynced writes.
func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Engine{
		CanCrash: true,
		Open: func(t *testing.T, now func() time.Time) storetest.Instance {
			return instance(t, vfs.NewCrashableMem(), now)
		},
	})
}

// gather is short, because a suite that settles one change at a time would wait for it thousands of times.
const gather = 50 * time.Microsecond

func instance(t *testing.T, fs *vfs.MemFS, now func() time.Time) storetest.Instance {
	s, err := embedded.Open("data", embedded.Options{FS: fs, Now: now, SettleLinger: gather, MemTableSize: 4 << 20, CacheSize: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	var closed atomic.Bool
	end := func() {
		if closed.CompareAndSwap(false, true) {
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		}
	}
	t.Cleanup(end)
	return storetest.Instance{
		Store:  s,
		Reopen: func(t *testing.T) storetest.Instance { end(); return instance(t, fs, now) },
		Crash: func(t *testing.T) storetest.Instance {
			return instance(t, fs.CrashClone(vfs.CrashCloneCfg{}), now)
		},
	}
}
