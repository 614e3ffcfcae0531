package node

import "github.com/esh3artech/esh3ar/internal/ingest"

// admission returns the options of ingest: limits of memory and rate, and the measurements that load shedding uses.
func (n *node) admission(m *metrics) ingest.Options {
	return ingest.Options{
		LaneMemory: int(n.config.QueueMemory),
		Rate:       n.config.CapacityRate,
		OnCommit: func(info ingest.CommitInfo) {
			m.committed(info)
			n.load.committed(info)
		},
		RunnablePerCPU: n.load.queue.PerProcessor,
		MemoryUsed:     func() float64 { return n.load.load().Memory },
	}
}
