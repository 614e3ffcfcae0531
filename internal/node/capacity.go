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

// capacityFlags are the capacities of a node, which its load is measured against.
type capacityFlags struct {
	CapacityCPU         float64 `name:"capacity-cpu" help:"CPU cores that count as full load (default: GOMAXPROCS)."`
	CapacityRate        float64 `name:"capacity-rate" help:"Messages per second that this node accepts at most (default: unlimited)."`
	CapacityMemory      size    `name:"capacity-memory" help:"Memory of this node, such as 512MiB (default: the limit of its control group, GOMEMLIMIT, or the memory of the machine)."`
	CapacityConnections int     `name:"capacity-connections" help:"Connections that count as full load (default: --max-connections)."`
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

// leastMemory is the memory that the caches of the embedded store and short bursts need.
const leastMemory = 128 << 20

// size is a flag value in bytes.
type size int64

// UnmarshalText parses a number with a unit as in GOMEMLIMIT: B, KiB, MiB, GiB, TiB, or none for bytes.
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

// heapShare is the part of the memory limit that Go's heap may use. The caches of the store and kernel buffers need the rest.
const heapShare = 0.8

// fullCommit is the duration of a commit that counts as full load: a call waits for the running commit and for its own, and should be
// answered within 100 ms.
const fullCommit = 50 * time.Millisecond

// capacity returns the values of the flags, or those of the system for unset flags; connections is the number that the node holds at
// most. It also sets Go's memory limit, unless GOMEMLIMIT is set, so that a node near its limit collects garbage more often instead of
// being killed.
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
