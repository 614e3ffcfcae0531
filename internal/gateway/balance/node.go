package balance

import (
	"math"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// State is whether calls may go to a node, and why not.
type State uint8

// The states.
const (
	Fresh    State = iota // nobody has looked at it yet
	Up                    // it takes calls
	NotReady              // it says that it is starting or stopping
	Down                  // it does not answer
	Ejected               // it looks well and breaks calls

	States // how many there are
)

var stateNames = [States]string{"fresh", "up", "not_ready", "down", "ejected"}

// String is the stable name.
func (s State) String() string { return stateNames[s] }

// Node is one that calls can go to. Its fields are the Balancer's; ID and URL never change.
type Node struct {
	ID  membership.NodeID // of the list
	URL string            // where the gateway reaches it

	name   membership.NodeID // what it calls itself; empty: it has not said
	state  State
	listed time.Time // when the list had it last
	lost   bool      // the newest list does not have it

	calls, streams int
	taken          uint64 // calls, since it is known
	recent         float64
	recentAt       time.Time
	latency        flow.PeakEWMA

	heard       bool    // it has said how it is
	load        float64 // of its last words, smoothed
	connections int     // of its last word
	handed      int     // phones sent to it since

	since        time.Time // up again; its share grows from here
	missed       int       // checks, in a row
	answeredAt   time.Time // a call, last
	broken       int       // calls, in a row
	ejections    int       // in a row
	ejectedUntil time.Time
	trial        int // calls that it must still answer before it is trusted
}

// slots is how many connections to it are in use.
func (n *Node) slots() int { return n.calls + n.streams }

// leastShare of a node that has just come: below it nothing would be learned about it.
const leastShare = 0.1

// grown is the part of its share that a node has, this long after it came.
func (n *Node) grown(now time.Time, slowStart time.Duration) float64 {
	return min(1, leastShare+(1-leastShare)*float64(now.Sub(n.since))/float64(slowStart))
}

// loadFrom is the load from which a node gets fewer calls: above it nodes are added, and below it what we see of them by
// ourselves spreads calls better than what they say.
const loadFrom = 0.8

// nearlyFull is the load from which a node gets no phones while another has room: they stay.
const nearlyFull = 0.95

// alike is how far the loads of two nodes may be apart and count as the same. Loads are measured once a second over a few seconds: equal
// nodes on a busy machine differ that much for seconds at a time, and then calls follow what is no difference.
const alike = 0.15

// spare is the part of the calls that a node keeps next to one with the least load there is; a full one keeps a fifth. Where all are
// nearly full, none has more to spare than the others.
func (n *Node) spare(least float64) float64 {
	from := max(loadFrom, least+alike)
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

// smoothed is how much of the load before a report leaves: a single slow commit makes no full node.
const smoothed = 0.7

// noise is added to latencies before they are compared: differences below it say nothing.
const noise = time.Millisecond

// tolerated is the factor within which latencies count as equal.
const tolerated = 2

// slower is how many times slower a node is than another, beyond what is tolerated; 1: it is not.
func (n *Node) slower(than *Node, now time.Time) float64 {
	return max(1, float64(n.latency.Value(now)+noise)/float64(than.latency.Value(now)+noise)/tolerated)
}

// cost of a call at n, in a draw against other: the calls that it joins, times how much slower they are answered.
func (n *Node) cost(other *Node, now time.Time) float64 {
	return float64(n.calls+1) * n.slower(other, now)
}

// even is the factor within which costs count as equal: then whoever had fewer calls lately gets this one. Equal nodes are
// never quite as quick as each other for a moment, and that is no reason to give one of them more than the others. One call
// under way or none is a difference all the same.
const even = 1.5

// recently is how far back a node's share is evened out.
const recently = 10 * time.Second

// lately counts the calls that a node was given, the older the less.
func (n *Node) lately(now time.Time) float64 {
	return n.recent * math.Exp(-float64(now.Sub(n.recentAt))/float64(recently))
}

// given notes a call.
func (n *Node) given(now time.Time) { n.recent, n.recentAt = n.lately(now)+1, now }
