package diskguard_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/diskguard"
)

// volume is a disk with configurable usage. asked counts the queries.
type volume struct {
	vfs.FS
	free, total uint64
	asked       int
}

func (v *volume) GetDiskUsage(string) (vfs.DiskUsage, error) {
	v.asked++
	return vfs.DiskUsage{AvailBytes: v.free, TotalBytes: v.total}, nil
}

// TestGauge_ReserveReachedAndLeft_LogsEachOnce checks the hysteresis at the limit, and that a query by Space logs as well.
func TestGauge_ReserveReachedAndLeft_LogsEachOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	now := time.Unix(1_800_000_000, 0)
	v := &volume{FS: vfs.NewMem(), free: 200 << 20, total: 1 << 30}
	g := diskguard.Gauge{FS: v, Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(&log, nil))}
	for i, step := range []struct {
		free uint64
		full bool
	}{
		{200 << 20, false}, {128 << 20, false}, {128<<20 - 1, true}, {128 << 20, true}, {128<<20 - 1, true}, {130 << 20, true}, {136 << 20, false}, {128 << 20, false},
	} {
		v.free, now = step.free, now.Add(time.Second)
		if got := g.Space(); got.Full != step.full || !got.Known || got.Reserve != 128<<20 || (got.Err() != nil) != step.full {
			t.Errorf("step %d: got %+v, want full %t", i, got, step.full)
		}
		if err := g.Check(1); (esh3ar.CodeOf(err) == esh3ar.StorageFull) != step.full {
			t.Errorf("step %d: Check: got %v, want full %t", i, err, step.full)
		}
	}
	if got := log.String(); strings.Count(got, "nearly full") != 1 || strings.Count(got, "has room again") != 1 {
		t.Errorf("got log %q, want each state once", got)
	}
}

// TestGauge_MuchWrittenWithinASecond_AsksAgain: the file system is queried again before the reserve is used up.
func TestGauge_MuchWrittenWithinASecond_AsksAgain(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	v := &volume{FS: vfs.NewMem(), free: 1 << 30, total: 1 << 30}
	g := diskguard.Gauge{FS: v, Now: func() time.Time { return now }}
	const size = 1 << 20
	for written := 0; ; written += size {
		if g.Check(size) != nil {
			break
		}
		v.free -= size
		if v.free < 64<<20 {
			t.Fatal("half of the reserve was written within a second without a query")
		}
	}
	if v.asked > 1<<30/(4<<20) {
		t.Errorf("got %d queries, want one per 4 MiB at most", v.asked)
	}
	full := v.asked
	for range 100 { // rejected calls write nothing
		_ = g.Check(size)
	}
	if v.asked > full {
		t.Errorf("got %d more queries while full, want 0", v.asked-full)
	}
}
