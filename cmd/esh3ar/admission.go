package main

import (
	"runtime"

	"github.com/esh3artech/esh3ar/internal/intake"
	"github.com/esh3artech/esh3ar/internal/vitals"
)

// admission says what intake may take, and what tells it that there is too much.
func (n *node) admission(m *metrics) intake.Options {
	var queue vitals.RunQueue // intake asks one at a time
	return intake.Options{
		Memory: n.config.QueueMiB << 20,
		Rate:   n.config.CapacityRate,
		OnCommit: func(info intake.CommitInfo) {
			m.committed(info)
			n.vitals.committed(info)
		},
		Runnable:   func() float64 { return float64(queue.Runnable()) / float64(runtime.GOMAXPROCS(0)) },
		MemoryUsed: func() float64 { return n.vitals.load().Memory },
	}
}
