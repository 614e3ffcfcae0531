package balance

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// simulation simulates calls with a Balancer in virtual time: nodes with a few workers and a queue each, callers in a closed loop,
// checks and reports once a second.
type simulation struct {
	t       *testing.T
	random  *rand.Rand
	b       *Balancer
	now     time.Time
	events  eventQueue
	order   int // of events, so that equal times have one
	servers []*server
	callers int
	answers []answer
	refused int
}

// server is the simulated state of a node.
type server struct {
	id      membership.NodeID
	workers int
	busy    int
	queue   []func()
	slow    float64 // factor on its service time
	dead    bool
	breaks  bool    // answers checks and breaks calls
	reports float64 // added to the load that it reports

	report      func() float64 // nil: what is busy, and reports
	pausedUntil time.Time      // it finishes nothing until then
	sheds       bool           // while it pauses it refuses calls
}

type answer struct {
	at   time.Time
	node membership.NodeID
	took time.Duration
}

const (
	serviceTime = 10 * time.Millisecond // in the middle
	workers     = 8
)

func newSimulation(t *testing.T, seed uint64, nodes, callers int) *simulation {
	t.Helper()
	w := &simulation{t: t, random: rand.New(rand.NewPCG(seed, 0)), now: time.Unix(1_800_000_000, 0), callers: callers}
	w.b = New(Rules{}, w.random.Int64N)
	for i := range nodes {
		w.servers = append(w.servers, &server{id: membership.NodeID(fmt.Sprint("n", i)), workers: workers, slow: 1})
	}
	w.list()
	w.check()
	for range callers {
		w.call()
	}
	return w
}

func (w *simulation) list() {
	var list []membership.Node
	for _, s := range w.servers {
		list = append(list, membership.Node{ID: s.id, URL: string(s.id), SeenAt: esh3ar.TimeOf(w.now)})
	}
	w.b.SetNodes(w.now, list)
}

func (w *simulation) server(id membership.NodeID) *server {
	return w.servers[slices.IndexFunc(w.servers, func(s *server) bool { return s.id == id })]
}

func (w *simulation) check() {
	for _, n := range slices.Clone(w.b.Nodes()) {
		s := w.server(n.ID)
		c := Check{Status: s.word()}
		if s.dead {
			c = Check{Err: "dead"}
		}
		w.b.ApplyCheck(w.now, n, c)
	}
	w.after(time.Second, w.check)
}

// call sends a call, and the next one when it is answered.
func (w *simulation) call() {
	n, outcome := w.b.Pick(w.now, Call, nil)
	if outcome != Chosen {
		w.t.Fatalf("at %s: no node", w.now)
	}
	s, began := w.server(n.ID), w.now
	if s.dead || s.breaks {
		verdict := Refused
		if s.breaks {
			verdict = Broken
		}
		w.refused++
		w.b.End(w.now, n, Call, verdict, 0)
		w.after(time.Millisecond, w.call)
		return
	}
	if s.sheds && w.now.Before(s.pausedUntil) {
		w.after(time.Millisecond, func() { w.b.End(w.now, n, Call, Sick, time.Millisecond); w.call() })
		return
	}
	w.serve(s, func() {
		if s.dead {
			w.b.End(w.now, n, Call, Broken, 0)
			w.refused++
		} else {
			w.b.End(w.now, n, Call, Answered, w.now.Sub(began))
			w.answers = append(w.answers, answer{w.now, n.ID, w.now.Sub(began)})
		}
		w.call()
	})
}

// serve starts a call when a worker is free. Service times have a long tail.
func (w *simulation) serve(s *server, done func()) {
	if s.busy >= s.workers {
		s.queue = append(s.queue, func() { w.serve(s, done) })
		return
	}
	s.busy++
	took := time.Duration(float64(serviceTime) * s.slow * math.Exp(w.random.NormFloat64()*0.5))
	var ends func()
	ends = func() {
		if left := s.pausedUntil.Sub(w.now); left > 0 {
			w.after(left, ends)
			return
		}
		s.busy--
		if len(s.queue) > 0 {
			next := s.queue[0]
			s.queue = s.queue[1:]
			next()
		}
		done()
	}
	w.after(took, ends)
}

func (w *simulation) after(d time.Duration, do func()) {
	w.order++
	heap.Push(&w.events, event{w.now.Add(d), w.order, do})
}

// play runs until n more calls were answered.
func (w *simulation) play(calls int) []answer {
	w.answers = w.answers[:0]
	for len(w.answers) < calls {
		w.step()
	}
	return w.answers
}

// pass advances the time.
func (w *simulation) pass(d time.Duration) []answer {
	w.answers = w.answers[:0]
	for end := w.now.Add(d); w.now.Before(end); {
		w.step()
	}
	return w.answers
}

func (w *simulation) step() {
	e := heap.Pop(&w.events).(event) //nolint:forcetypeassert // nothing else is pushed
	w.now = e.at
	e.do()
}

// shares returns the number of answers of each existing node.
func (w *simulation) shares(answers []answer) map[membership.NodeID]float64 {
	shares := map[membership.NodeID]float64{}
	for _, s := range w.servers {
		shares[s.id] = 0
	}
	for _, a := range answers {
		shares[a.node] += 1 / float64(len(answers))
	}
	return shares
}

// spread is (max − min) / mean.
func spread(shares map[membership.NodeID]float64) float64 {
	least, most, sum := math.Inf(1), 0.0, 0.0
	for _, s := range shares {
		least, most, sum = min(least, s), max(most, s), sum+s
	}
	return (most - least) / (sum / float64(len(shares)))
}

func quantile(answers []answer, q float64) time.Duration {
	took := make([]time.Duration, len(answers))
	for i, a := range answers {
		took[i] = a.took
	}
	slices.Sort(took)
	return took[int(q*float64(len(took)-1))]
}

type event struct {
	at    time.Time
	order int
	do    func()
}

type eventQueue []event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	return q[i].at.Before(q[j].at) || q[i].at.Equal(q[j].at) && q[i].order < q[j].order
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(e any)   { *q = append(*q, e.(event)) } //nolint:forcetypeassert // as heap demands
func (q *eventQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
