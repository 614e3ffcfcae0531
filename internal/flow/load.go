package flow

import (
	"math"
	"time"
)

// Capacity is what a node can carry; a part that is zero is not counted.
type Capacity struct {
	CPU         float64       // cores
	Rate        float64       // messages per second
	Memory      int64         // bytes
	Commit      time.Duration // a commit that takes so long is all that the store can do
	Connections int
}

// Usage is what a node has used so far, and what it holds now.
type Usage struct {
	At          time.Time
	CPU         time.Duration // of the process since its start
	Messages    uint64        // taken since its start
	Memory      int64         // bytes
	Queue       int           // messages that are worked on or wait for it
	QueueLimit  int           // that may be worked on at once
	Commits     uint64        // since the start
	Committing  time.Duration // what they took together
	Connections int
}

// Load is how much of a node's capacity is in use, part by part; 1 is full, and what waits can make it more.
type Load struct {
	CPU         float64 `json:"cpu"`
	Rate        float64 `json:"rate"`
	Memory      float64 `json:"memory"`
	Queue       float64 `json:"queue"`
	Commit      float64 `json:"commit"`
	Connections float64 `json:"connections"`
}

// Score is the load as one number: the part that is nearest to its end. A mean would hide a full disk behind an idle CPU.
func (l Load) Score() float64 {
	return max(l.CPU, l.Rate, l.Memory, l.Queue, l.Commit, l.Connections)
}

// loadMemory is how long a moment counts in the parts that are rates: long enough that one collection of garbage does not
// move phones or nodes, short enough that a gateway which reads the score every second follows a burst.
const loadMemory = 2 * time.Second

// LoadMeter makes loads of usages. It is one goroutine's.
type LoadMeter struct {
	capacity Capacity
	last     Usage // zero: none yet
	load     Load
}

// NewLoadMeter makes a meter for a node of this capacity.
func NewLoadMeter(c Capacity) *LoadMeter { return &LoadMeter{capacity: c} }

// Step takes the next usage. What is held counts as it is; what is used per second counts since the usage before, and fades.
func (m *LoadMeter) Step(u Usage) Load {
	c := &m.capacity
	m.load.Memory = share(float64(u.Memory), float64(c.Memory))
	m.load.Queue = share(float64(u.Queue), float64(u.QueueLimit))
	m.load.Connections = share(float64(u.Connections), float64(c.Connections))
	took := u.At.Sub(m.last.At)
	switch {
	case m.last.At.IsZero():
		m.last = u
	case took > 0:
		fresh := 1 - math.Exp(-took.Seconds()/loadMemory.Seconds())
		fade := func(part *float64, now float64) { *part += fresh * (now - *part) }
		fade(&m.load.CPU, share((u.CPU-m.last.CPU).Seconds(), c.CPU*took.Seconds()))
		fade(&m.load.Rate, share(float64(u.Messages-m.last.Messages), c.Rate*took.Seconds()))
		fade(&m.load.Commit, share(u.meanCommit(&m.last), c.Commit.Seconds()))
		m.last = u
	}
	return m.load
}

// meanCommit is what a commit took since the usage before, in seconds; zero where there was none.
func (u *Usage) meanCommit(before *Usage) float64 {
	if u.Commits <= before.Commits {
		return 0
	}
	return (u.Committing - before.Committing).Seconds() / float64(u.Commits-before.Commits)
}

// mostShare bounds a share: a hundred times too much is no different from more, and an infinity would never fade.
const mostShare = 100

// share is a part of a whole, zero where there is no whole, and never below zero.
func share(part, whole float64) float64 {
	if whole <= 0 {
		return 0
	}
	return min(max(0, part/whole), mostShare)
}
