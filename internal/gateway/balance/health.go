package balance

import (
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Check is what a health check found.
type Check struct {
	Began    time.Time
	Err      string            // why the node does not answer; empty: it does
	NotReady bool              // it answers that it does not want calls
	Name     membership.NodeID // what it calls itself; empty: it has not said
	Word     *membership.Node  // what it said of itself; nil: nothing
}

// Checked takes what a check of the node has found.
func (b *Balancer) Checked(now time.Time, n *Node, c Check) []Change {
	if c.Name != "" {
		n.name = c.Name
	}
	if c.Word != nil {
		n.hear(c.Word)
	}
	switch {
	case c.Err != "" && n.answeredAt.After(c.Began):
		return nil // it answers calls: the machine is full, perhaps ours
	case c.Err != "":
		if n.missed++; n.missed >= b.rules.Checks || n.state == Fresh {
			return b.out(n, Down, c.Err)
		}
		return nil
	case c.NotReady:
		n.missed = 0
		return b.out(n, NotReady, "it says that it is starting or stopping")
	case n.state == Ejected && now.Before(n.ejectedUntil):
		n.missed = 0
		return nil
	}
	n.missed = 0
	return b.up(now, n)
}

// out takes a node out.
func (b *Balancer) out(n *Node, s State, why string) []Change {
	if n.state == s {
		return nil
	}
	n.state = s
	return []Change{{n.ID, n.URL, s, false, why}}
}

// up lets a node take calls.
func (b *Balancer) up(now time.Time, n *Node) []Change {
	if n.state == Up {
		return nil
	}
	if n.state == Ejected {
		n.trial = b.rules.Trial
	}
	n.state, n.since, n.broken = Up, now, 0
	return []Change{{n.ID, n.URL, Up, false, ""}}
}

// Verdict is what the end of a call says of its node.
type Verdict uint8

// The verdicts.
const (
	Unmeasured Verdict = iota // nothing: a stream, a caller who left
	Answered                  // it answered, in the time that counts
	Heard                     // it answered, in a time that says nothing: a batch
	Sick                      // it answered that it cannot: that is quick and must not draw more calls
	Refused                   // nobody listens there; nothing was sent
	Broken                    // the connection ended, or nothing came in time
)

// dearest bounds what a sick answer counts as.
const dearest = time.Second

// End takes the end of a call that Pick gave a node for.
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
	case Heard:
		b.answered(now, n)
		return nil
	case Sick:
		// At least twice as dear as before, and never cheaper than its time.
		n.latency.Observe(now, max(took, min(2*max(n.latency.Value(now), noise), dearest)))
		b.answered(now, n)
		return nil
	case Refused:
		return b.out(n, Down, "nobody listens there")
	case Broken:
		return b.breaks(now, n)
	}
	panic("no such verdict")
}

func (b *Balancer) answered(now time.Time, n *Node) {
	n.broken, n.answeredAt = 0, now
	if n.trial > 0 {
		if n.trial--; n.trial == 0 {
			n.ejections = 0
		}
	}
}

// breaks counts a broken call, and ejects the node if it was one too many.
func (b *Balancer) breaks(now time.Time, n *Node) []Change {
	n.broken++
	if n.state != Up || n.trial == 0 && n.broken < b.rules.Failures || !b.mayEject() {
		return nil
	}
	n.ejections++
	n.trial = 0
	n.ejectedUntil = now.Add(b.rules.Pause.Delay(n.ejections, b.random))
	return b.out(n, Ejected, "its calls break")
}

// mayEject: at most half of the nodes.
func (b *Balancer) mayEject() bool {
	ejected := 0
	for _, n := range b.nodes {
		if n.state == Ejected {
			ejected++
		}
	}
	return 2*(ejected+1) <= len(b.nodes)
}
