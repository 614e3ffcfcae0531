package node

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/fstest"

	"github.com/esh3artech/esh3ar/internal/runtime/sysload"
)

func TestSize_Texts_AreParsed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]size{
		"0": 0, "17": 17, "17B": 17, "512MiB": 512 << 20, "2Gi": 2 << 30, "1KiB": 1 << 10, "3TiB": 3 << 40,
		"": -1, "B": -1, "-1": -1, "1.5GiB": -1, "512MB": -1, "9999999TiB": -1, "MiB": -1,
	} {
		var got size
		err := got.UnmarshalText([]byte(text))
		if (err == nil) != (want >= 0) || err == nil && got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
	}
}

func TestCapacityFlags_Impossible_Fail(t *testing.T) {
	t.Parallel()
	for _, f := range []capacityFlags{
		{CapacityCPU: -1}, {CapacityCPU: math.NaN()}, {CapacityRate: -1}, {CapacityRate: math.NaN()}, {CapacityMemory: leastMemory - 1}, {CapacityConnections: -1},
	} {
		if f.check() == nil {
			t.Errorf("%+v", f)
		}
	}
}

// TestCapacity: what the flags say, and what the system has where they say nothing. The Go heap may use a part of it.
func TestCapacity(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Linux tells what it has")
	}
	t.Setenv("GOMEMLIMIT", "")
	before := debug.SetMemoryLimit(math.MaxInt64)
	defer debug.SetMemoryLimit(before)
	system := sysload.System{FS: fstest.MapFS{"proc/meminfo": {Data: []byte("MemTotal: 4194304 kB\n")}}}
	c := (&capacityFlags{}).capacity(system, 300)
	if c.Memory != 4<<30 || c.CPU != float64(runtime.GOMAXPROCS(0)) || c.Connections != 300 {
		t.Errorf("%+v", c)
	}
	if heap := debug.SetMemoryLimit(-1); math.Abs(float64(heap)-0.8*(4<<30)) > 1 {
		t.Errorf("the heap is held to %d", heap)
	}
	c = (&capacityFlags{CapacityCPU: 0.5, CapacityRate: 7, CapacityMemory: 1 << 30, CapacityConnections: 9}).capacity(system, 300)
	if c.CPU != 0.5 || c.Rate != 7 || c.Memory != 1<<30 || c.Connections != 9 {
		t.Errorf("%+v", c)
	}
	t.Setenv("GOMEMLIMIT", "2GiB")
	debug.SetMemoryLimit(2 << 30) // as the runtime does then
	if c = (&capacityFlags{}).capacity(system, 300); c.Memory != 2<<30 || debug.SetMemoryLimit(-1) != 2<<30 {
		t.Errorf("%+v, the heap is held to %d", c, debug.SetMemoryLimit(-1))
	}
}

// TestCapacity_DefaultConnections_FollowTheLimit has a node whose limit of open files is low, or whose flag is.
func TestCapacity_DefaultConnections_FollowTheLimit(t *testing.T) {
	t.Parallel()
	for _, files := range []int{128, 1024, 1 << 20} {
		for _, flag := range []int{0, 50, 1 << 21} {
			c := Config{connectionFlags: connectionFlags{MaxConnections: flag}}
			budget := c.budget(files)
			want := budget.Connections
			if flag > 0 {
				want = min(want, flag)
			}
			if got := c.most(budget); got != want || got > files || got <= 0 {
				t.Errorf("%d files, --max-connections %d: the node is full at %d connections, want %d", files, flag, got, want)
			}
		}
	}
}
