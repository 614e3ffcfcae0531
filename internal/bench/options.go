package bench

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Options configures a run. - Binary    string | path of esh3ar; server and bare handler run as its child processes -
// Duration  time | duration of each measurement - Warmup    time | time before each measurement - Rounds    int |
// measurements of bare handler and server, in turn - Phones    int | 0: number of the scenario's budget - Callers   int
// | 0: number of the scenario's budget - Rate      float64 | messages/s of latency and connections; 0: half of the
// measured saturation, or 80 % of the measured maximum - Closed    bool | latency uses a closed loop - Floor     bool |
// measure the bare handler only - Size      int | content size in bytes - Capacity  float64 | declared messages/s of a
// node in overload and autoscale; 0: undeclared, or scaledCapacity - Flags     [] | additional flags of serve - Nodes
// int | nodes of a cluster on PostgreSQL and Redis; 0: one node with its own store - Accept  | B1: accepted calls/s as a
// share of a bare handler - Deliver  | B2: CPU per message from the call to the stored acknowledgement, at saturation -
// Overload  | R1.5, R5.5, B9: three SLA levels at twice the maximum; not in a full run - Autoscale  | R1.3, R5.2: nodes
// added and removed along a load ramp; run by RunAutoscale, not by Run - AckInvoke  | with a completion that confirms
// durability - AckSend  | without a completion
type Options struct {
	Binary    string // of esh3ar; the server and the floor are its children
	Scenarios []string
	Duration  time.Duration // of each measured stretch
	Warmup    time.Duration // before it, left out
	Rounds    int           // of floor and server in turn, for the share of the floor
	Phones    int           // 0: what the scenario's budget names
	Callers   int           // 0: what the scenario's budget names
	Rate      float64       // messages per second of latency and connections; 0: half of the saturation of the same run, 80 % of the maximum
	Closed    bool          // the latency scenario calls as fast as it is answered, not at a rate
	Floor     bool          // the floor alone
	Size      int           // bytes of content
	Ack       string        // how phones acknowledge
	Capacity  float64       // messages per second that a node of overload or autoscale declares; 0: what it can, or scaledCapacity
	Plot      string        // file for the plot of overload or autoscale as SVG; empty: none
	Flags     []string      // of serve, besides those that the bench sets
	Nodes     int           // of a cluster on a PostgreSQL and a Redis; 0: one node with a store of its own
}

// The scenarios, in the order of a whole run.
const (
	Accept      = "accept"      // B1: durable calls per second as a share of the floor
	Deliver     = "deliver"     // B2: CPU per message from call to settled acknowledgement, at saturation
	Idle        = "idle"        // B3: memory per idle connection
	Latency     = "latency"     // B4: latencies at half of the saturation
	Connections = "connections" // R1.2: 10,000 open API connections at 80 % of the maximum
	Overload    = "overload"    // R1.5, R5.5, B9: three SLA levels at twice the maximum; not in a whole run
	Autoscale   = "autoscale"   // R1.3, R5.2: nodes come and go with a ramp; RunAutoscale measures it, and Run does not
)

// How phones acknowledge.
const (
	AckInvoke = "invoke" // and are told when it is durable
	AckSend   = "send"   // and are not
)

// All lists the scenarios; a full run executes those before Overload.
var All = []string{Accept, Deliver, Idle, Latency, Connections, Overload}

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
	case o.Phones < 0 || o.Callers < 0 || o.Rate < 0:
		return fmt.Errorf("--phones, --callers, --rate: must not be negative")
	}
	return nil
}

// maxNodes is above what one machine can serve with its load beside it, and their connections are few enough for PostgreSQL.
const maxNodes = 8

// maxSockets of one process: the hard limit of open files is 20,000 here, and the rest is for the store and the system.
const maxSockets = 19_000

func or(given, usual int) int {
	if given > 0 {
		return given
	}
	return usual
}
