package balance

import (
	"slices"
	"time"
)

// Kind is the kind of a call.
type Kind uint8

// Kinds of calls.
const (
	Call   Kind = iota // a short call
	Stream             // a long response, such as an event stream
	Phone              // the negotiation of a phone, which then connects to the node directly
	Tunnel             // a WebSocket through the gateway
)

// Long reports whether a call of this kind uses a stream slot.
func (k Kind) Long() bool { return k == Stream || k == Tunnel }

// Outcome is the result of Pick.
type Outcome uint8

// Outcomes.
const (
	Chosen Outcome = iota
	Full           // all slots of all candidates are in use
	NoNode         // there are no nodes except the tried ones
)

// Pick chooses a node that is not in tried, and takes a slot there. End frees it.
func (b *Balancer) Pick(now time.Time, k Kind, tried []*Node) (*Node, Outcome) {
	all := b.candidates(tried)
	if len(all) == 0 {
		return nil, NoNode
	}
	free := slices.DeleteFunc(all, func(n *Node) bool { return !b.hasRoom(n, k) })
	if len(free) == 0 {
		return nil, Full
	}
	n := b.best(now, k, free)
	b.takeSlot(now, n, k)
	return n, Chosen
}

// TakeSlot takes a slot at this node and reports whether one was free.
func (b *Balancer) TakeSlot(now time.Time, n *Node, k Kind) bool {
	if !b.hasRoom(n, k) {
		return false
	}
	b.takeSlot(now, n, k)
	return true
}

// Room returns the total and used slots for a kind at the current candidates.
func (b *Balancer) Room(k Kind) (total, used int) {
	for _, n := range b.candidates(nil) {
		if k.Long() {
			total, used = total+b.rules.Streams, used+n.streams
		} else {
			total, used = total+b.rules.Slots, used+n.slots()
		}
	}
	return total, used
}

func (b *Balancer) hasRoom(n *Node, k Kind) bool {
	return n.slots() < b.rules.Slots && (!k.Long() || n.streams < b.rules.Streams)
}

func (b *Balancer) takeSlot(now time.Time, n *Node, k Kind) {
	n.taken++
	if k.Long() {
		n.streams++
	} else {
		n.calls++
		n.recordCall(now)
	}
	if k == Phone || k == Tunnel {
		n.handed++
	}
}

// candidates returns the nodes that are up; if there are none, those that are not NotReady; if there are none, all.
func (b *Balancer) candidates(tried []*Node) []*Node {
	for _, may := range []func(*Node) bool{
		func(n *Node) bool { return n.state == Up },
		func(n *Node) bool { return n.state != NotReady },
		func(*Node) bool { return true },
	} {
		b.usable = b.usable[:0]
		for _, n := range b.nodes {
			if may(n) && !slices.Contains(tried, n) {
				b.usable = append(b.usable, n)
			}
		}
		if len(b.usable) > 0 {
			break
		}
	}
	return b.usable
}

func (b *Balancer) best(now time.Time, k Kind, from []*Node) *Node {
	switch {
	case len(from) == 1:
		return from[0]
	case k == Call:
		return b.pickOfTwo(now, from)
	case k == Stream:
		return b.least(from, func(n *Node) float64 { return float64(n.streams) })
	case k == Phone, k == Tunnel:
		least := leastLoad(from)
		return b.least(from, func(n *Node) float64 { return b.phoneCost(now, n, least) })
	}
	panic("unknown kind")
}

// pickOfTwo returns the better of two random nodes.
func (b *Balancer) pickOfTwo(now time.Time, from []*Node) *Node {
	i, j := b.random(int64(len(from))), b.random(int64(len(from)-1))
	if j >= i {
		j++
	}
	one, other := from[i], from[j]
	if n := skipOne(one, other, func(n, _ *Node) bool { return b.skipsForSlowStart(now, n, from) }); n != nil {
		return n
	}
	if n := skipOne(one, other, func(n, other *Node) bool { return b.skipsForLoad(now, n, other, from) }); n != nil {
		return n
	}
	mine, its := one.cost(other, now), other.cost(one, now)
	if max(mine, its) <= costTolerance*min(mine, its) {
		mine, its = one.recentCalls(now), other.recentCalls(now)
	}
	if mine < its || mine == its && b.random(2) == 0 {
		return one
	}
	return other
}

// skipOne returns the node that is not skipped if exactly one of the two is; otherwise nil.
func skipOne(one, other *Node, sits func(n, other *Node) bool) *Node {
	switch first, second := sits(one, other), sits(other, one); {
	case first == second:
		return nil
	case first:
		return other
	default:
		return one
	}
}

// skipsForSlowStart reports whether to skip a node because its slow start is less advanced than others'.
func (b *Balancer) skipsForSlowStart(now time.Time, n *Node, from []*Node) bool {
	grown := func(n *Node) float64 { return n.slowStartFactor(now, b.rules.SlowStart) }
	return b.skipWithProbability(grown(n) / most(from, grown))
}

// skipsForLoad reports whether to skip a node because it reports a higher load than others. It never skips in favour of a node
// that is known to be slow, whose load is low because it gets few calls.
func (b *Balancer) skipsForLoad(now time.Time, n, other *Node, from []*Node) bool {
	if n.load <= loadFrom || other.latencyFactor(n, now) > 1 {
		return false
	}
	least := leastLoad(from)
	return b.skipWithProbability(n.headroomWeight(least) / most(from, func(n *Node) float64 { return n.headroomWeight(least) }))
}

func most(of []*Node, value func(*Node) float64) (most float64) {
	for _, n := range of {
		most = max(most, value(n))
	}
	return most
}

// skipWithProbability returns true with probability 1-share.
func (b *Balancer) skipWithProbability(share float64) bool {
	return share < 1 && float64(b.random(1<<20)) >= share*(1<<20)
}

// phoneCost returns the cost of another phone at a node: its connections, including those directed there since its last
// report, divided by its weights. A nearly full node comes last.
func (b *Balancer) phoneCost(now time.Time, n *Node, least float64) float64 {
	connections := float64(n.connections + n.handed + 1)
	if n.load >= nearlyFull {
		return connections * 1e6
	}
	return connections / n.slowStartFactor(now, b.rules.SlowStart) / n.headroomWeight(least)
}

// least returns the node with the lowest value, and a random one among equals.
func (b *Balancer) least(from []*Node, of func(*Node) float64) *Node {
	first := int(b.random(int64(len(from))))
	least := from[first]
	for i := range from {
		if n := from[(first+i)%len(from)]; of(n) < of(least) {
			least = n
		}
	}
	return least
}
