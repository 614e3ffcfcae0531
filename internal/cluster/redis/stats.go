package redis

import (
	"sync/atomic"
	"time"
)

// Op names what is asked of Redis.
type Op uint8

// The operations.
const (
	opPing Op = iota
	opAssert
	opRetract
	opPresent
	opAnnounce
	opLeave
	opNodes
	opHint
	opTake
	opCacheRead
	opCacheWrite
	opCacheDelete
	opInvalidate
	opPost

	ops
)

var opNames = [ops]string{
	"ping", "presence_assert", "presence_retract", "presence_nodes", "registry_announce", "registry_leave", "registry_nodes",
	"hints_send", "quota_take", "cache_read", "cache_write", "cache_delete", "cache_invalidate", "post_send",
}

// String is the stable name.
func (o Op) String() string { return opNames[o] }

// LatencyBounds are the upper bounds of the classes that latencies are counted in.
var LatencyBounds = [...]time.Duration{
	250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second,
}

// Stats are counts since the start.
type Stats struct {
	Connected bool      // it was reached at least once
	Ops       []OpStats // one for each operation, also those that never were

	HintsReceived      uint64 // in batches that could be read
	HintBatchesDropped uint64 // unreadable, or the node was too slow for them
	Subscribed         uint64 // times that a subscription came into force
	Unsubscribed       uint64 // times that one was lost, or could not be had
	Invalidations      uint64 // texts of other nodes and of this one that came
	InvalidationsLost  uint64 // times that texts were or may have been missed
	CacheHere          uint64 // values that were read on this side, without asking a server
	NodesUnreadable    uint64 // entries of the registry that could not be read, counted at each reading
	Refused            []PartStats
}

// PartStats counts what was refused because no node of this cluster made it for this place, or because it came before.
type PartStats struct {
	Name    string
	Refused uint64
}

// OpStats are the counts of one operation.
type OpStats struct {
	Name     string
	Calls    uint64
	Commands uint64                     // or keys
	Errors   uint64                     // calls of which something failed
	Took     time.Duration              // by all calls together
	Classes  [len(LatencyBounds)]uint64 // calls that took at most LatencyBounds, not counting those of the class before
}

type counters struct {
	ops                                                                                                           [ops]opCounters
	hints, batchesDropped, subscribed, unsubscribed, invalidations, invalidationsLost, cacheHere, nodesUnreadable atomic.Uint64

	refused refusals
}

type opCounters struct {
	calls, commands, errors atomic.Uint64
	nanoseconds             atomic.Int64
	classes                 [len(LatencyBounds)]atomic.Uint64
}

func (o *opCounters) note(commands int, err error, took time.Duration) {
	o.calls.Add(1)
	o.commands.Add(uint64(commands))
	o.nanoseconds.Add(int64(took))
	if err != nil {
		o.errors.Add(1)
	}
	for i, bound := range LatencyBounds {
		if took <= bound {
			o.classes[i].Add(1)
			return
		}
	}
}

// Stats is how things stand.
func (c *Client) Stats() Stats {
	s := Stats{
		Connected:          c.conn.Load() != nil,
		HintsReceived:      c.stats.hints.Load(),
		HintBatchesDropped: c.stats.batchesDropped.Load(),
		Subscribed:         c.stats.subscribed.Load(),
		Unsubscribed:       c.stats.unsubscribed.Load(),
		Invalidations:      c.stats.invalidations.Load(),
		InvalidationsLost:  c.stats.invalidationsLost.Load(),
		CacheHere:          c.stats.cacheHere.Load(),
		NodesUnreadable:    c.stats.nodesUnreadable.Load(),
	}
	for part, name := range partNames {
		s.Refused = append(s.Refused, PartStats{name, c.stats.refused[part].n.Load()})
	}
	for op := range ops {
		s.Ops = append(s.Ops, c.stats.ops[op].stats(op))
	}
	return s
}

func (o *opCounters) stats(op Op) OpStats {
	s := OpStats{
		Name: op.String(), Calls: o.calls.Load(), Commands: o.commands.Load(), Errors: o.errors.Load(), Took: time.Duration(o.nanoseconds.Load()),
	}
	for i := range o.classes {
		s.Classes[i] = o.classes[i].Load()
	}
	return s
}
