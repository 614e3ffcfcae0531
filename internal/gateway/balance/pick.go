package balance

import (
	"slices"
	"time"
)

// Kind is what a node is chosen for.
type Kind uint8

// The kinds.
const (
	Call   Kind = iota // one that is answered soon
	Stream             // one that goes on
	Phone              // the negotiation of a connection: the node keeps what comes of it, and not through us
	Tunnel             // a connection through us
)

// Long tells whether it takes one of the slots for streams.
func (k Kind) Long() bool { return k == Stream || k == Tunnel }

// Outcome is what Pick found.
type Outcome uint8

// The outcomes.
const (
	Chosen Outcome = iota
	Full           // every node that could be chosen has all its slots in use
	Nobody         // there is no node, but those that were tried
)

// Pick chooses a node for a call, none of those that were tried already, and takes a slot there; End gives it back.
func (b *Balancer) Pick(now time.Time, k Kind, tried []*Node) (*Node, Outcome) {
	all := b.candidates(tried)
	if len(all) == 0 {
		return nil, Nobody
	}
	free := slices.DeleteFunc(all, func(n *Node) bool { return !b.room(n, k) })
	if len(free) == 0 {
		return nil, Full
	}
	n := b.best(now, k, free)
	b.take(now, n, k)
	return n, Chosen
}

// Take takes a slot at a certain node.
func (b *Balancer) Take(now time.Time, n *Node, k Kind) bool {
	if !b.room(n, k) {
		return false
	}
	b.take(now, n, k)
	return true
}

// Room returns how many slots for a kind the nodes have that calls go to now, and how many of them are in use.
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

func (b *Balancer) room(n *Node, k Kind) bool {
	return n.slots() < b.rules.Slots && (!k.Long() || n.streams < b.rules.Streams)
}

func (b *Balancer) take(now time.Time, n *Node, k Kind) {
	n.taken++
	if k.Long() {
		n.streams++
	} else {
		n.calls++
		n.given(now)
	}
	if k == Phone || k == Tunnel {
		n.handed++
	}
}

// candidates are the nodes that are up; if there is none, all that are not about to stop; if there is none, all.
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
		return b.draw(now, from)
	case k == Stream:
		return b.least(from, func(n *Node) float64 { return float64(n.streams) })
	case k == Phone, k == Tunnel:
		least := leastLoad(from)
		return b.least(from, func(n *Node) float64 { return b.phones(now, n, least) })
	}
	panic("no such kind")
}

// draw takes two by chance and gives the better one.
func (b *Balancer) draw(now time.Time, from []*Node) *Node {
	i, j := b.random(int64(len(from))), b.random(int64(len(from)-1))
	if j >= i {
		j++
	}
	one, other := from[i], from[j]
	if n := sitOut(one, other, func(n, _ *Node) bool { return b.stillGrows(now, n, from) }); n != nil {
		return n
	}
	if n := sitOut(one, other, func(n, other *Node) bool { return b.sparesLess(now, n, other, from) }); n != nil {
		return n
	}
	mine, its := one.cost(other, now), other.cost(one, now)
	if max(mine, its) <= even*min(mine, its) {
		mine, its = one.lately(now), other.lately(now)
	}
	if mine < its || mine == its && b.random(2) == 0 {
		return one
	}
	return other
}

// sitOut gives the one of two that stays, if one of them sits out; nil: both do the same.
func sitOut(one, other *Node, sits func(n, other *Node) bool) *Node {
	switch first, second := sits(one, other), sits(other, one); {
	case first == second:
		return nil
	case first:
		return other
	default:
		return one
	}
}

// stillGrows lets a node sit out while it has less of its share than others have of theirs.
func (b *Balancer) stillGrows(now time.Time, n *Node, from []*Node) bool {
	grown := func(n *Node) float64 { return n.grown(now, b.rules.SlowStart) }
	return b.misses(grown(n) / most(from, grown))
}

// sparesLess lets a node sit out as often as it reports to have less to spare than others. The report counts for nothing
// against a node that is known to be slow: that has much to spare because few calls go there.
func (b *Balancer) sparesLess(now time.Time, n, other *Node, from []*Node) bool {
	if n.load <= loadFrom || other.slower(n, now) > 1 {
		return false
	}
	least := leastLoad(from)
	return b.misses(n.spare(least) / most(from, func(n *Node) float64 { return n.spare(least) }))
}

func most(of []*Node, value func(*Node) float64) (most float64) {
	for _, n := range of {
		most = max(most, value(n))
	}
	return most
}

// misses is so by chance, as often as the share leaves out.
func (b *Balancer) misses(share float64) bool {
	return share < 1 && float64(b.random(1<<20)) >= share*(1<<20)
}

// phones is how many connections a node has, with those that were sent there since it said so; more while its share grows.
// A node without capacity left comes last.
func (b *Balancer) phones(now time.Time, n *Node, least float64) float64 {
	crowd := float64(n.connections + n.handed + 1)
	if n.load >= nearlyFull {
		return crowd * 1e6
	}
	return crowd / n.grown(now, b.rules.SlowStart) / n.spare(least)
}

// least gives the node with the least; among equals, chance decides.
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
