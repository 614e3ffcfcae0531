package flow

import (
	"math"
	"time"
)

// Capacity is what a node can handle. A part that is zero is not measured.
type Capacity struct {
	CPU         float64       // cores
	Rate        float64       // messages per second
	Memory      int64         // bytes
	Commit      time.Duration // duration of a commit at which the store is fully loaded
	Connections int
}

// Usage is what a node has used since its start, and what it holds now.
type Usage struct {
	At          time.Time
	CPU         time.Duration // CPU time of the process since its start
	Messages    uint64        // messages accepted since its start
	Memory      int64         // bytes
	Queue       int           // messages in flight or waiting for admission
	QueueLimit  int           // messages that may be in flight
	Commits     uint64        // commits since its start
	Committing  time.Duration // total duration of these commits
	Connections int
}

// Load is the used share of a node's capacity, part by part. 1 is full; waiting messages can raise it above 1.
type Load struct {
	CPU         float64 `json:"cpu"`
	Rate        float64 `json:"rate"`
	Memory      float64 `json:"memory"`
	Queue       float64 `json:"queue"`
	Commit      float64 `json:"commit"`
	Connections float64 `json:"connections"`
}

// Score returns the load as one number: that of the most loaded part. A mean would hide a full disk behind an idle CPU.
func (l Load) Score() float64 {
	return max(l.CPU, l.Rate, l.Memory, l.Queue, l.Commit, l.Connections)
}

// loadTimeConstant is the time constant of the moving averages. It is long enough that one garbage collection does not move phones or
// start nodes, and short enough that a gateway that reads the score every second follows a burst.
const loadTimeConstant = 2 * time.Second

// LoadMeter computes the load from successive usages. It is not safe for concurrent use.
type LoadMeter struct {
	capacity Capacity
	last     Usage // zero before the first Step
	load     Load
}

// NewLoadMeter returns a meter for a node with this capacity.
func NewLoadMeter(c Capacity) *LoadMeter { return &LoadMeter{capacity: c} }

// Step returns the load after the next usage. Memory, queue and connections are current values. CPU, rate and commits are exponential
// moving averages over the time since the previous usage.
func (m *LoadMeter) Step(u Usage) Load {
	c := &m.capacity
	m.load.Memory = share(float64(u.Memory), float64(c.Memory))
	m.load.Queue = share(float64(u.Queue), float64(u.QueueLimit))
	m.load.Connections = share(float64(u.Connections), float64(c.Connections))
	if m.last.At.IsZero() {
		m.last = u
		return m.load
	}
	took := u.At.Sub(m.last.At)
	if took > 0 {
		weight := 1 - math.Exp(-took.Seconds()/loadTimeConstant.Seconds())
		average := func(part *float64, now float64) { *part += weight * (now - *part) }
		average(&m.load.CPU, share((u.CPU-m.last.CPU).Seconds(), c.CPU*took.Seconds()))
		average(&m.load.Rate, share(float64(u.Messages-m.last.Messages), c.Rate*took.Seconds()))
		average(&m.load.Commit, share(u.meanCommit(&m.last), c.Commit.Seconds()))
		m.last = u
	}
	return m.load
}

// meanCommit returns the mean duration of the commits since the previous usage, in seconds; zero if there was none.
func (u *Usage) meanCommit(before *Usage) float64 {
	if u.Commits <= before.Commits {
		return 0
	}
	return (u.Committing - before.Committing).Seconds() / float64(u.Commits-before.Commits)
}

// maxShare bounds a share, so that an infinite value does not stay in a moving average for good.
const maxShare = 100

// share returns part/whole, at least 0 and at most maxShare; 0 if whole is not positive.
func share(part, whole float64) float64 {
	if whole <= 0 {
		return 0
	}
	return min(max(0, part/whole), maxShare)
}
