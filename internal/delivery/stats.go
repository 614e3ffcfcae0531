package delivery

import (
	"sync/atomic"

	"github.com/esh3artech/esh3ar/internal/fairshare"
	"github.com/esh3artech/esh3ar/internal/runtime/workerpool"
)

// Stats counts events since the start of the engine, and open sessions.
type Stats struct {
	Sessions  int64
	Published uint64 // messages hinted or made Pending
	Pushed    uint64 // messages pushed, without redeliveries
	Repeated  uint64
	Refused   uint64 // pushes refused by a full connection
	Swept     uint64 // sessions that the sweep told about new messages: their hints were lost or late
	Dropped   uint64 // changes to Pending that found no room and are left to the stale walk
	Pauses    uint64 // pauses of the process
	Due       uint64 // tasks done
	DueFailed uint64 // tasks whose commit failed; they are tried again
	DueWidth  int    // commits of due tasks at a time, now
	AckOver   uint64 // acknowledgements over the rate of unknown messages
	Workers   workerpool.Stats
	Readers   workerpool.Stats
}

type stats struct {
	sessions  atomic.Int64
	published atomic.Uint64
	pushed    atomic.Uint64
	repeated  atomic.Uint64
	refused   atomic.Uint64
	swept     atomic.Uint64
	dropped   atomic.Uint64
	pauses    atomic.Uint64
	due       atomic.Uint64
	dueFailed atomic.Uint64
	dueWidth  atomic.Int64
}

// Stats returns the current numbers.
func (e *Engine) Stats() Stats {
	return Stats{
		Sessions: e.stats.sessions.Load(), Published: e.stats.published.Load(), Pushed: e.stats.pushed.Load(),
		Repeated: e.stats.repeated.Load(), Refused: e.stats.refused.Load(), Swept: e.stats.swept.Load(), Dropped: e.stats.dropped.Load(),
		Pauses: e.stats.pauses.Load(), Due: e.stats.due.Load(), DueFailed: e.stats.dueFailed.Load(),
		DueWidth: int(e.stats.dueWidth.Load()), AckOver: e.ackRates.refused.Load(), Workers: e.ready.Stats(), Readers: e.reads.Stats(),
	}
}

// Shares returns the state of the resources that recipients share in this engine.
func (e *Engine) Shares() []fairshare.Stats {
	return []fairshare.Stats{e.settler.shares.Stats(), e.syncs.Stats()}
}
