package balance

import (
	"math"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// State is the state of a node.
type State uint8

// States. Only nodes that are Up get calls, unless there is none.
const (
	Unchecked State = iota // not checked yet
	Up                     // accepts calls
	NotReady               // reports that it is starting or stopping
	Down                   // checks fail, or connections are refused
	Ejected                // checks succeed, but calls break

	States // number of states
)

var stateNames = [States]string{"fresh", "up", "not_ready", "down", "ejected"}

// String returns the stable name of the state.
func (s State) String() string { return stateNames[s] }

// Node is a node that calls can go to. Only the Balancer uses the unexported fields; ID and URL never change.
type Node struct {
	ID  membership.NodeID // id in the list
	URL string            // address for the gateway

	name     membership.NodeID // name that it reports; empty if unknown
	state    State
	listed   time.Time // time of the last list that contained it
	unlisted bool      // it is not in the last list

	calls, streams int
	taken          uint64 // calls sent to it so far
	recent         float64
	recentAt       time.Time
	latency        flow.PeakEWMA

	reported    bool    // it has sent a report
	load        float64 // reported load, smoothed
	connections int     // connections in its last report
	handed      int     // phones directed to it since that report

	since        time.Time // when it came up; its share grows from then on
	failedChecks int       // failed checks in a row
	answeredAt   time.Time // last answered call
	brokenCalls  int       // broken calls in a row
	ejections    int       // ejections in a row
	ejectedUntil time.Time
	probation    int // calls that it must still answer to end its probation
}

// slots returns the number of used slots.
func (n *Node) slots() int { return n.calls + n.streams }

// minSlowStartShare is the share of a node that has just come up. With less, the gateway would learn nothing about it.
const minSlowStartShare = 0.1

// slowStartFactor returns the part of its share that a node gets at this time after it came up.
func (n *Node) slowStartFactor(now time.Time, slowStart time.Duration) float64 {
	return min(1, minSlowStartShare+(1-minSlowStartShare)*float64(now.Sub(n.since))/float64(slowStart))
}

// loadFrom is the load above which a node gets fewer calls. Below it, calls in progress and latencies distribute calls better
// than reports do.
const loadFrom = 0.8

// nearlyFull is the load from which a node gets no phones while another has room, because phones stay connected.
const nearlyFull = 0.95

// loadTolerance is the difference within which loads count as equal. Loads are measured once a second over a few seconds, and
// those of equal nodes on a busy machine differ that much for seconds.
const loadTolerance = 0.15

// headroomWeight returns the part of its calls that a node keeps, compared with a node of the least load; a full node keeps a
// fifth. If all nodes are nearly full, all weights are equal.
func (n *Node) headroomWeight(least float64) float64 {
	from := max(loadFrom, least+loadTolerance)
	if n.load <= from {
		return 1
	}
	return 1 - 0.8*min((n.load-from)/(1-loadFrom), 1)
}

func leastLoad(of []*Node) float64 {
	least := math.Inf(1)
	for _, n := range of {
		least = min(least, n.load)
	}
	return least
}

// loadSmoothing is the weight of the previous value in the smoothed load, so that one slow commit does not count as full load.
const loadSmoothing = 0.7

// latencyNoise is added to latencies before a comparison: smaller differences are not significant.
const latencyNoise = time.Millisecond

// latencyTolerance is the factor within which latencies count as equal.
const latencyTolerance = 2

// latencyFactor returns how many times slower n is than another node, beyond latencyTolerance; 1 if it is not.
func (n *Node) latencyFactor(than *Node, now time.Time) float64 {
	return max(1, float64(n.latency.Value(now)+latencyNoise)/float64(than.latency.Value(now)+latencyNoise)/latencyTolerance)
}

// cost returns the cost of a call at n, compared with other: the calls in progress including this one, times the latency
// factor.
func (n *Node) cost(other *Node, now time.Time) float64 {
	return float64(n.calls+1) * n.latencyFactor(other, now)
}

// costTolerance is the factor within which costs count as equal; then the node with fewer recent calls is chosen. Equal nodes
// never have exactly the same latency at one moment, which must not give one of them a larger share. One call in progress
// versus none is a difference beyond the tolerance.
const costTolerance = 1.5

// recentWindow is the time constant of recentCalls, over which shares are balanced.
const recentWindow = 10 * time.Second

// recentCalls returns the number of recent calls, with exponential decay.
func (n *Node) recentCalls(now time.Time) float64 {
	return n.recent * math.Exp(-float64(now.Sub(n.recentAt))/float64(recentWindow))
}

// recordCall counts a call.
func (n *Node) recordCall(now time.Time) { n.recent, n.recentAt = n.recentCalls(now)+1, now }
