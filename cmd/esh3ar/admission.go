package main

import "github.com/esh3artech/esh3ar/internal/intake"

// admission says what intake may take, and what tells it that there is too much.
func (n *node) admission(m *metrics) intake.Options {
	return intake.Options{
		Memory: n.config.QueueMiB << 20,
		Rate:   n.config.CapacityRate,
		OnCommit: func(info intake.CommitInfo) {
			m.committed(info)
			n.vitals.committed(info)
		},
		Runnable:   n.vitals.queue.Share,
		MemoryUsed: func() float64 { return n.vitals.load().Memory },
	}
}
