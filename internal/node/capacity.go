package node

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/esh3artech/esh3ar/internal/flow"
	"github.com/esh3artech/esh3ar/internal/runtime/sysload"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// capacityFlags say what a node can carry: what its load is measured by.
type capacityFlags struct {
	CapacityCPU         float64 `name:"capacity-cpu" help:"Cores that this node may use (default: all that Go uses, GOMAXPROCS)."`
	CapacityRate        float64 `name:"capacity-rate" help:"Messages per second that fill this node; it takes no more (default: as many as it can)."`
	CapacityMemory      size    `name:"capacity-memory" help:"Memory of this node, such as 512MiB (default: the limit of its control group or GOMEMLIMIT, else the machine's)."`
	CapacityConnections int     `name:"capacity-connections" help:"Connections that fill this node (default: as many as the node holds at once, --max-connections)."`
}

func (f *capacityFlags) check() error {
	switch {
	case f.CapacityCPU < 0 || math.IsNaN(f.CapacityCPU):
		return usage.Errorf("--capacity-cpu: must not be negative")
	case f.CapacityRate < 0 || math.IsNaN(f.CapacityRate):
		return usage.Errorf("--capacity-rate: must not be negative")
	case f.CapacityMemory != 0 && f.CapacityMemory < leastMemory:
		return usage.Errorf("--capacity-memory: must be at least %dMiB", leastMemory>>20)
	case f.CapacityConnections < 0:
		return usage.Errorf("--capacity-connections: must not be negative")
	}
	return nil
}

// leastMemory is what the embedded store's own caches and a moment's work take.
const leastMemory = 128 << 20

// size is a number of bytes as people write it.
type size int64

// UnmarshalText reads a number with a unit, as GOMEMLIMIT has it: B, KiB, MiB, GiB, TiB, or none for bytes.
func (s *size) UnmarshalText(text []byte) error {
	number, shift := strings.TrimSuffix(string(text), "B"), 0
	for i, unit := range []string{"Ki", "Mi", "Gi", "Ti"} {
		if rest, ok := strings.CutSuffix(number, unit); ok {
			number, shift = rest, 10*(i+1)
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return fmt.Errorf("%q is not a size such as 512MiB", text)
	}
	*s = size(n << shift)
	return nil
}

// heapShare is the part of the memory limit that Go's heap is held to: the store's own caches and the kernel's buffers lie
// beside it.
const heapShare = 0.8

// fullCommit is a commit that takes all the time a call may have: a call waits for the running one and for its own, and is to
// be answered within 100 ms.
const fullCommit = 50 * time.Millisecond

// capacity is what the flags say, and the system where they say nothing. It holds Go's heap to the memory, unless GOMEMLIMIT
// does: a node that comes near its limit collects more often and is not killed. connections is how many the node holds at once.
func (f *capacityFlags) capacity(system sysload.System, connections int) flow.Capacity {
	c := flow.Capacity{
		CPU: f.CapacityCPU, Rate: f.CapacityRate, Memory: int64(f.CapacityMemory), Commit: fullCommit, Connections: f.CapacityConnections,
	}
	if c.CPU == 0 {
		c.CPU = float64(runtime.GOMAXPROCS(0))
	}
	if c.Memory == 0 {
		c.Memory = system.MemoryLimit()
		if limit := debug.SetMemoryLimit(-1); limit < c.Memory || c.Memory == 0 {
			c.Memory = limit
		}
	}
	if os.Getenv("GOMEMLIMIT") == "" && c.Memory > 0 && c.Memory < math.MaxInt64 {
		debug.SetMemoryLimit(int64(float64(c.Memory) * heapShare))
	}
	if c.Connections == 0 {
		c.Connections = connections
	}
	return c
}
