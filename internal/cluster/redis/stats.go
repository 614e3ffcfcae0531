package redis

import (
	"sync/atomic"
	"time"
)

// Op names a kind of call to Redis.
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
	opSendBatch

	ops
)

var opNames = [ops]string{
	"ping", "presence_assert", "presence_retract", "presence_nodes", "registry_announce", "registry_leave", "registry_nodes",
	"hints_send", "quota_take", "cache_read", "cache_write", "cache_delete", "cache_invalidate", "post_send",
}

// String returns the stable name of the operation.
func (o Op) String() string { return opNames[o] }

// LatencyBounds are the upper bounds of the latency histogram.
var LatencyBounds = [...]time.Duration{
	250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond,
	25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, time.Second,
}

// Stats holds counters since the start.
type Stats struct {
	Connected bool      // a connection was established at least once
	Ops       []OpStats // one per operation, including those that were never called

	HintsReceived      uint64 // hints in decoded batches
	HintBatchesDropped uint64 // batches that were malformed, or arrived faster than the node handles them
	Subscribed         uint64 // subscriptions established
	Unsubscribed       uint64 // subscriptions lost or refused
	Invalidations      uint64 // texts received, including this node's own
	InvalidationsLost  uint64 // times that texts were or may have been missed
	CacheHere          uint64 // values answered from the client-side cache
	NodesUnreadable    uint64 // malformed entries of the registry, counted at each read
	Refused            []PartStats
}

// PartStats counts contents of one part that were refused because no node of this cluster made them for this place, or because they
// are replays.
type PartStats struct {
	Name    string
	Refused uint64
}

// OpStats holds the counters of one operation.
type OpStats struct {
	Name     string
	Calls    uint64
	Commands uint64                     // number of commands or keys
	Errors   uint64                     // calls with at least one error
	Took     time.Duration              // total duration of all calls
	Classes  [len(LatencyBounds)]uint64 // calls per bucket of LatencyBounds, not cumulative
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

// Stats returns the counters.
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
