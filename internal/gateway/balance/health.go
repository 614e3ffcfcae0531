package balance

import (
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Check is the result of a health check.
type Check struct {
	Began    time.Time
	Err      string            // why the check failed; empty if the node answered
	NotReady bool              // the node answered that it is not ready
	Name     membership.NodeID // name that the node reports; empty if unknown
	Status   *membership.Node  // report of the node; nil if none
}

// ApplyCheck applies the result of a check.
func (b *Balancer) ApplyCheck(now time.Time, n *Node, c Check) []Change {
	if c.Name != "" {
		n.name = c.Name
	}
	if c.Status != nil {
		n.applyReport(c.Status)
	}
	switch {
	case c.Err != "" && n.answeredAt.After(c.Began):
		return nil // it has answered calls since: the check failed because a machine is overloaded, perhaps this one
	case c.Err != "":
		n.failedChecks++
		if n.failedChecks >= b.rules.Checks || n.state == Unchecked {
			return b.out(n, Down, c.Err)
		}
		return nil
	case c.NotReady:
		n.failedChecks = 0
		return b.out(n, NotReady, "it reports that it is starting or stopping")
	case n.state == Ejected && now.Before(n.ejectedUntil):
		n.failedChecks = 0
		return nil
	}
	n.failedChecks = 0
	return b.up(now, n)
}

// out puts a node out for the reason s.
func (b *Balancer) out(n *Node, s State, why string) []Change {
	if n.state == s {
		return nil
	}
	n.state = s
	return []Change{{n.ID, n.URL, s, false, why}}
}

// up makes a node up.
func (b *Balancer) up(now time.Time, n *Node) []Change {
	if n.state == Up {
		return nil
	}
	if n.state == Ejected {
		n.probation = b.rules.Probation
	}
	n.state = Up
	n.since = now
	n.brokenCalls = 0
	return []Change{{n.ID, n.URL, Up, false, ""}}
}

// Verdict is what the outcome of a call says about its node.
type Verdict uint8

// Verdicts.
const (
	Unmeasured      Verdict = iota // nothing: a stream, or the client disconnected
	Answered                       // the node answered, with a meaningful latency
	AnsweredUntimed                // the node answered, but the latency is not meaningful: a batch
	Sick                           // the node answered with a server error; such answers are fast but must not attract more calls
	Refused                        // the connection was refused; nothing was sent
	Broken                         // the connection broke, or the node did not answer in time
)

// maxSickLatency bounds the latency that a Sick answer counts as.
const maxSickLatency = time.Second

// End frees the slot of a call and applies its verdict.
func (b *Balancer) End(now time.Time, n *Node, k Kind, v Verdict, took time.Duration) []Change {
	if k.Long() {
		n.streams--
	} else {
		n.calls--
	}
	switch v {
	case Unmeasured:
		return nil
	case Answered:
		n.latency.Observe(now, took)
		b.answered(now, n)
		return nil
	case AnsweredUntimed:
		b.answered(now, n)
		return nil
	case Sick:
		// At least twice the latency before, and at least the real one.
		n.latency.Observe(now, max(took, min(2*max(n.latency.Value(now), latencyNoise), maxSickLatency)))
		b.answered(now, n)
		return nil
	case Refused:
		return b.out(n, Down, "it refuses connections")
	case Broken:
		return b.countBroken(now, n)
	}
	panic("unknown verdict")
}

func (b *Balancer) answered(now time.Time, n *Node) {
	n.brokenCalls, n.answeredAt = 0, now
	if n.probation > 0 {
		n.probation--
		if n.probation == 0 {
			n.ejections = 0
		}
	}
}

// countBroken counts a broken call, and ejects the node if there were too many in a row.
func (b *Balancer) countBroken(now time.Time, n *Node) []Change {
	n.brokenCalls++
	if n.state != Up || n.probation == 0 && n.brokenCalls < b.rules.Failures || !b.mayEject() {
		return nil
	}
	n.ejections++
	n.probation = 0
	n.ejectedUntil = now.Add(b.rules.Pause.Delay(n.ejections, b.random))
	return b.out(n, Ejected, "its calls break")
}

// mayEject reports whether another node may be ejected: at most half of the nodes are.
func (b *Balancer) mayEject() bool {
	ejected := 0
	for _, n := range b.nodes {
		if n.state == Ejected {
			ejected++
		}
	}
	return 2*(ejected+1) <= len(b.nodes)
}
