package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Options configures a run.
type Options struct {
	Binary    string // path of esh3ar; server and bare handler run as its child processes
	Scenarios []string
	Duration  time.Duration // duration of each measurement
	Warmup    time.Duration // time before each measurement
	Rounds    int           // measurements of bare handler and server, in turn
	Phones    int           // 0: number of the scenario's budget
	Callers   int           // 0: number of the scenario's budget
	Rate      float64       // messages/s of latency and connections; 0: half of the measured saturation, or 80 % of the measured maximum
	Versus    []string      // programs to compare with, or paths of other builds; run by RunVersus, not by Run
	Stored    int           // largest number of stored messages in growth and number of messages in disk; 0: a million and 400,000
	Closed    bool          // latency uses a closed loop
	Floor     bool          // measure the bare handler only
	Size      int           // content size in bytes
	Ack       string        // how phones acknowledge
	Capacity  float64       // declared messages/s of a node in overload and autoscale; 0: undeclared, or scaledCapacity
	Plot      string        // file for the plot of overload or autoscale as SVG; empty: none
	Flags     []string      // additional flags of serve
	Nodes     int           // nodes of a cluster on PostgreSQL and Redis; 0: one node with its own store
}

// The scenarios, in the order of a whole run.
const (
	Accept      = "accept"      // B1: accepted calls/s as a share of a bare handler
	Deliver     = "deliver"     // B2: CPU per message from the call to the stored acknowledgement, at saturation
	Idle        = "idle"        // B3: memory per idle connection
	Latency     = "latency"     // B4: latencies at half of the saturation
	Connections = "connections" // R1.2: 10,000 open API connections at 80 % of the maximum
	Reconnect   = "reconnect"   // B5: 10,000 phones reconnect with waiting messages
	Disk        = "disk"        // B13: bytes written per message
	Growth      = "growth"      // B7: CPU per message over phones, stored messages, businesses, inbox depth and content size; not in a full run
	Soak        = "soak"        // B9: memory, goroutines, disk and latency at 70 % and at 200 % of the maximum; not in a full run
	Overload    = "overload"    // R1.5, R5.5, B9: three SLA levels at twice the maximum; not in a full run
	Autoscale   = "autoscale"   // R1.3, R5.2: nodes added and removed along a load ramp; run by RunAutoscale, not by Run
)

// How phones acknowledge.
const (
	AckInvoke = "invoke" // with a completion that confirms durability
	AckSend   = "send"   // without a completion
)

// All lists the scenarios; a full run executes those before Growth.
var All = []string{Accept, Deliver, Idle, Latency, Connections, Reconnect, Disk, Growth, Soak, Overload}

// Check returns an error for the first invalid option.
func (o *Options) Check() error {
	for _, name := range o.Scenarios {
		if !slices.Contains(All, name) {
			return fmt.Errorf("--scenario: %q is not one of %s", name, strings.Join(All, ", "))
		}
	}
	switch {
	case o.Duration <= 0:
		return fmt.Errorf("--duration: must be longer than 0")
	case o.Warmup < 0:
		return fmt.Errorf("--warmup: must not be negative")
	case o.Rounds < 1:
		return fmt.Errorf("--rounds: must be at least 1")
	case o.Size < minSize || o.Size > 4096:
		return fmt.Errorf("--size: must be from %d to 4096 bytes", minSize)
	case o.Ack != AckInvoke && o.Ack != AckSend:
		return fmt.Errorf("--ack: must be %s or %s", AckInvoke, AckSend)
	case o.Nodes < 0 || o.Nodes > maxNodes:
		return fmt.Errorf("--nodes: must be from 1 to %d", maxNodes)
	case o.Capacity < 0:
		return fmt.Errorf("--capacity: must not be negative")
	case o.Phones < 0 || o.Callers < 0 || o.Rate < 0 || o.Stored < 0:
		return fmt.Errorf("--phones, --callers, --rate, --stored: must not be negative")
	}
	return o.checkPeers()
}

// maxNodes exceeds what one machine can serve together with the load, and stays below the connection limit of
// PostgreSQL.
const maxNodes = 8

// maxSockets of one process: the hard limit of open files is 20,000 here, and the rest is for the store and the system.
const maxSockets = 19_000

func or(given, usual int) int {
	if given > 0 {
		return given
	}
	return usual
}
