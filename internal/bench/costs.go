package bench

import (
	"errors"
	"fmt"
	"time"
)

// usage is the CPU time by kind of process.
type usage struct{ nodes, postgres, redis time.Duration }

func (u usage) since(before usage) usage {
	return usage{u.nodes - before.nodes, u.postgres - before.postgres, u.redis - before.redis}
}

// usage reads the clocks of all processes with all that they have started.
func (p *platform) usage() (u usage, err error) {
	for _, n := range p.nodes {
		used, failed := cpuOfTree(n.node.PID())
		u.nodes += used
		err = errors.Join(err, failed)
	}
	if p.postgres != nil {
		var failed error
		u.postgres, failed = cpuOfTree(p.postgres.PID())
		err = errors.Join(err, failed)
	}
	if p.redis != nil {
		var failed error
		u.redis, failed = cpuOfTree(p.redis.PID())
		err = errors.Join(err, failed)
	}
	return u, err
}

// nodeCPU returns the CPU time of the first node.
func (p *platform) nodeCPU() (time.Duration, error) { return cpuOfTree(p.nodes[0].node.PID()) }

// costs adds the CPU time per message: of one node against B2, of a cluster against B6 and by kind of process.
func (r *run) costs(u usage, messages int64) {
	perMessage := func(cpu time.Duration) float64 { return float64(cpu.Microseconds()) / float64(messages) }
	if r.Nodes == 0 {
		r.report.budget(Deliver, "server CPU per message", perMessage(u.nodes), "µs", "B2", 90, 60, false)
		return
	}
	r.report.Notes = append(r.report.Notes, fmt.Sprintf("nodes: %d, on one PostgreSQL and one Redis", r.Nodes))
	r.report.add(Deliver, "CPU per message, nodes", perMessage(u.nodes), "µs")
	r.report.add(Deliver, "CPU per message, PostgreSQL", perMessage(u.postgres), "µs")
	r.report.add(Deliver, "CPU per message, Redis", perMessage(u.redis), "µs")
	r.report.budget(Deliver, "CPU per message, all of them", perMessage(u.nodes+u.postgres+u.redis), "µs", "B6", 100, 80, false)
}
