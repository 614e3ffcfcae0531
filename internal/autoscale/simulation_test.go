package autoscale_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/autoscale"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// simulation is a cluster in simulated time. Its nodes take time to start, share the demand evenly, and cannot report a demand
// beyond their capacity.
type simulation struct {
	demand  func(at time.Duration) float64 // in units of one node's capacity
	ready   time.Duration                  // start time of a node
	fault   func(w *simulation, at time.Duration)
	noise   float64 // random share of a reported value
	away    bool    // the registry does not answer
	stuck   float64 // value that every node reports; 0 for the real one
	members []simNode

	random  *rand.Rand
	ordered int
	made    int
}

type simNode struct {
	id    membership.NodeID
	since time.Duration // time from which it is ready
	dead  bool
}

const (
	tick  = 5 * time.Second
	epoch = 1_800_000_000 // seconds; an arbitrary time
)

func at(d time.Duration) time.Time { return time.Unix(epoch, 0).Add(d) }

// resize starts and stops nodes; the newest is stopped first.
func (w *simulation) resize(n int, now time.Duration) {
	for w.ordered = n; len(w.members) < n; {
		w.made++
		w.members = append(w.members, simNode{id: membership.NodeID(fmt.Sprint("n", w.made)), since: now + w.ready})
	}
	w.members = w.members[:n]
}

// nodes returns the reporting nodes.
func (w *simulation) nodes(now time.Duration) []membership.Node {
	var list []membership.Node
	for _, m := range w.members {
		if !m.dead && m.since <= now {
			list = append(list, membership.Node{ID: m.id})
		}
	}
	for i := range list {
		share := min(w.demand(now)/float64(len(list)), 1)
		list[i].Load = max(share*(1+w.noise*(2*w.random.Float64()-1)), 0)
		if w.stuck > 0 {
			list[i].Load = w.stuck
		}
	}
	return list
}

func (w *simulation) observe(now time.Duration) *autoscale.Observation {
	o := &autoscale.Observation{Nodes: w.nodes(now), Current: w.ordered, RemovalOrder: []membership.NodeID{}}
	for i := len(w.members) - 1; i >= 0; i-- {
		o.RemovalOrder = append(o.RemovalOrder, w.members[i].id)
	}
	if w.away {
		o.Nodes, o.Unknown = nil, errors.New("Redis does not answer")
	}
	return o
}

// snapshot is the state of a simulation after one tick.
type snapshot struct {
	at            time.Duration
	demand        float64
	wanted, ready int
	decision      autoscale.Decision
}

// play runs the real decision through a trace.
func (w *simulation) play(p autoscale.Policy, start int, length time.Duration) []snapshot {
	var snapshots []snapshot
	w.random = rand.New(rand.NewPCG(1, 2))
	w.resize(start, -w.ready)
	var s autoscale.State
	for now := time.Duration(0); now <= length; now += tick {
		if w.fault != nil {
			w.fault(w, now)
		}
		o := w.observe(now)
		d := s.Decide(&p, o, at(now))
		if d.Changes() {
			w.resize(d.To, now)
			s.Moved(&d)
		}
		snapshots = append(snapshots, snapshot{now, w.demand(now), w.ordered, len(w.nodes(now)), d})
	}
	return snapshots
}

// expect holds what must be true of a run.
type expect struct {
	turns int           // most changes of direction
	short time.Duration // longest time in which the demand exceeds the capacity
	peak  int           // most nodes at any time
	end   int           // nodes at the end
}

func (e *expect) check(t *testing.T, p *autoscale.Policy, snapshots []snapshot) {
	t.Helper()
	var turns, direction, peak int
	var short, longest time.Duration
	for i := range snapshots {
		m := &snapshots[i]
		d := &m.decision
		if m.wanted < p.Min || m.wanted > p.Max {
			t.Errorf("%s: %d nodes, the policy says %d to %d", m.at, m.wanted, p.Min, p.Max)
		}
		if d.Changes() {
			t.Logf("%8s  %2d → %2d  %s", m.at, d.From, d.To, d.Why)
			if sign := sign(d.To - d.From); sign != direction {
				turns, direction = turns+1, sign
			}
		}
		if d.To < d.From && (i == 0 || snapshots[i-1].ready < d.From) {
			t.Errorf("%s: %d → %d with %d reporting", m.at, d.From, d.To, snapshots[max(i-1, 0)].ready)
		}
		short += tick
		if m.demand <= float64(m.ready) {
			short = 0
		}
		longest, peak = max(longest, short), max(peak, m.wanted)
	}
	if turns > e.turns {
		t.Errorf("%d changes of direction, at most %d make sense", turns, e.turns)
	}
	if longest > e.short {
		t.Errorf("too few nodes for %s, at most %s make sense", longest, e.short)
	}
	if peak > e.peak {
		t.Errorf("%d nodes at the most, %d are enough", peak, e.peak)
	}
	if got := snapshots[len(snapshots)-1].wanted; got != e.end {
		t.Errorf("%d nodes at the end, want %d", got, e.end)
	}
}

func sign(n int) int {
	if n < 0 {
		return -1
	}
	return 1
}

// day is low at night and high at noon.
func day(now time.Duration) float64 {
	return 3.6 - 3*math.Cos(2*math.Pi*now.Hours()/24)
}

// between is v between two times, and otherwise the other value.
func between(from, to time.Duration, v, otherwise float64) func(time.Duration) float64 {
	return func(now time.Duration) float64 {
		if now >= from && now < to {
			return v
		}
		return otherwise
	}
}

func steady(v float64) func(time.Duration) float64 {
	return func(time.Duration) float64 { return v }
}

// sawtooth rises for ten minutes and then falls at once.
func sawtooth(now time.Duration) float64 {
	return 1 + 4*math.Mod(now.Minutes(), 10)/10
}

// ramp rises by one node's capacity in two minutes.
func ramp(now time.Duration) float64 { return 0.5 + min(now.Minutes(), 14)/2 }

// dying kills one node and restarts it much later, like a process manager with a long backoff.
func dying(w *simulation, now time.Duration) {
	if now == 10*time.Minute {
		w.members[1].dead = true
	}
	if now == 25*time.Minute {
		w.members[1] = simNode{id: w.members[1].id, since: now + w.ready}
	}
}

// silence is a registry that does not answer while the load falls.
func silence(w *simulation, now time.Duration) {
	w.away = now >= 10*time.Minute && now < 25*time.Minute
}

// failing is a metric that does not change, whatever the number of nodes.
func failing(w *simulation, now time.Duration) {
	w.stuck = 0
	if now >= 5*time.Minute && now < 40*time.Minute {
		w.stuck = 0.9
	}
}

// trace is a simulation with its expected result.
type trace struct {
	name, title string
	simulation  simulation
	start       int
	length      time.Duration
	want        expect
}

const half = 30 * time.Second

func traces() []trace {
	return []trace{
		{"day", "a day", simulation{demand: day, ready: half, noise: 0.05}, 2, 24 * time.Hour, expect{3, 0, 9, 1}},
		{"spike", "a spike to seven nodes' worth for ten minutes", simulation{demand: between(5*time.Minute, 15*time.Minute, 7, 1), ready: half, noise: 0.05}, 2, 45 * time.Minute, expect{2, 3 * time.Minute, 10, 2}},
		{"sawtooth", "up for ten minutes, down at once, again and again", simulation{demand: sawtooth, ready: half, noise: 0.05}, 2, 90 * time.Minute, expect{18, 0, 7, 7}},
		{"ramp", "a node's worth more every two minutes", simulation{demand: ramp, ready: half, noise: 0.05}, 1, 40 * time.Minute, expect{1, time.Minute, 10, 10}},
		{"failing", "a metric that stands still at 0.90", simulation{demand: steady(1.5), ready: half, fault: failing}, 3, 70 * time.Minute, expect{2, 0, 7, 3}},
		{"dying", "one of four nodes is gone for fifteen minutes", simulation{demand: steady(2.6), ready: half, noise: 0.03, fault: dying}, 4, 45 * time.Minute, expect{2, 0, 6, 4}},
		{"silence", "the registry is silent while the load falls", simulation{demand: between(0, 12*time.Minute, 3, 1), ready: half, noise: 0.05, fault: silence}, 4, 60 * time.Minute, expect{1, 0, 4, 2}},
		{"wobble", "noise of twenty percent around the target", simulation{demand: steady(3.1), ready: half, noise: 0.2}, 4, 4 * time.Hour, expect{1, 0, 5, 5}},
	}
}

// TestSimulation runs the real decision in difficult simulated clusters. With -plots DIR it writes plots of the runs.
func TestSimulation(t *testing.T) {
	t.Parallel()
	for _, c := range traces() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := autoscale.Default()
			snapshots := c.simulation.play(p, c.start, c.length)
			c.want.check(t, &p, snapshots)
		})
	}
}
