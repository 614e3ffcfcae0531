package node

import "github.com/esh3artech/esh3ar/internal/ingest"

// admission says what intake may take, and what tells it that there is too much.
func (n *node) admission(m *metrics) ingest.Options {
	return ingest.Options{
		LaneMemory: int(n.config.QueueMemory),
		Rate:       n.config.CapacityRate,
		OnCommit: func(info ingest.CommitInfo) {
			m.committed(info)
			n.vitals.committed(info)
		},
		RunnablePerCPU: n.vitals.queue.PerProcessor,
		MemoryUsed:     func() float64 { return n.vitals.load().Memory },
	}
}
