package gateway

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar/internal/flow"
	"github.com/esh3artech/esh3ar/internal/gateway/backend"
	"github.com/esh3artech/esh3ar/internal/gateway/balance"
	"github.com/esh3artech/esh3ar/internal/route"
)

// dispatch is the Balancer with what it decides about: the pools of connections, and the calls that wait in line.
type dispatch struct {
	opts  *Options
	log   *slog.Logger
	files files

	unusable map[route.NodeID]string // URLs of the last list that nobody can call; for list alone

	mu struct {
		sync.Mutex
		balancer *balance.Balancer
		budget   flow.Budget
		pools    map[*balance.Node]*backend.Pool
		line     []*waiter // for a slot; at most Options.Waiting, who comes then is refused
		counts   counts
	}
}

// seat is a slot at a node.
type seat struct {
	node *balance.Node
	pool *backend.Pool
	kind balance.Kind
}

// waiter is a call in line.
type waiter struct {
	kind  balance.Kind
	tried []*balance.Node
	seat  chan seat // capacity 1: whoever frees a slot does not wait
}

// repeats are bounded to a fifth of the calls, and ten a second whatever the calls are: when a node of three dies, a third of
// what was under way is repeated at once, and that is less than a second's worth of calls.
const (
	repeatShare   = 0.2
	repeatReserve = 100
)

func newDispatch(o *Options) *dispatch {
	d := &dispatch{opts: o, log: o.Log}
	d.mu.balancer = balance.New(o.Rules, o.Random)
	d.mu.budget = flow.Budget{Share: repeatShare, Reserve: repeatReserve}
	d.mu.pools = map[*balance.Node]*backend.Pool{}
	return d
}

// The reasons why there is no seat.
var (
	errFull    = errors.New("every node has all the calls it can take")
	errNobody  = errors.New("no node can be reached")
	errNoFiles = errors.New("this gateway has all the connections it can have")
)

// pick gives a seat for a call, none of those where it was tried already. What is answered soon may wait in line for it.
func (d *dispatch) pick(ctx context.Context, k balance.Kind, tried []*balance.Node) (seat, error) {
	d.mu.Lock()
	if len(tried) == 0 {
		d.mu.budget.Called(d.opts.Now())
	}
	s, err := d.pickLocked(k, tried)
	if !errors.Is(err, errFull) || k.Long() || len(d.mu.line) >= d.opts.Waiting {
		if errors.Is(err, errFull) {
			d.mu.counts.full++
		}
		d.mu.Unlock()
		return s, err
	}
	w := &waiter{kind: k, tried: tried, seat: make(chan seat, 1)}
	d.mu.line = append(d.mu.line, w)
	d.mu.Unlock()
	return d.wait(ctx, w)
}

func (d *dispatch) pickLocked(k balance.Kind, tried []*balance.Node) (seat, error) {
	n, outcome := d.mu.balancer.Pick(d.opts.Now(), k, tried)
	switch outcome {
	case balance.Chosen:
		return seat{n, d.mu.pools[n], k}, nil
	case balance.Full:
		return seat{}, errFull
	case balance.Nobody:
	}
	return seat{}, errNobody
}

// wait gives the seat that the line brings, if it does in time.
func (d *dispatch) wait(ctx context.Context, w *waiter) (seat, error) {
	timer := time.NewTimer(d.opts.WaitWithin)
	defer timer.Stop()
	select {
	case s := <-w.seat:
		return s, nil
	case <-timer.C:
	case <-ctx.Done():
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if at := slices.Index(d.mu.line, w); at >= 0 {
		d.mu.line = slices.Delete(d.mu.line, at, at+1)
		d.mu.counts.full++
		return seat{}, errFull
	}
	return <-w.seat, nil // it came at the last moment
}

// at gives a seat at the node of that name, for what only it can answer.
func (d *dispatch) at(name route.NodeID, k balance.Kind) (seat, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.mu.balancer.Named(name)
	switch {
	case n == nil:
		return seat{}, errNobody
	case !d.mu.balancer.Take(d.opts.Now(), n, k):
		d.mu.counts.full++
		return seat{}, errFull
	}
	return seat{n, d.mu.pools[n], k}, nil
}

// end gives a seat back, with what its call showed of the node, and lets the line move up.
func (d *dispatch) end(s seat, v balance.Verdict, took time.Duration) {
	d.mu.Lock()
	changes := d.mu.balancer.End(d.opts.Now(), s.node, s.kind, v, took)
	d.moveUpLocked()
	d.mu.Unlock()
	d.tell(changes)
}

func (d *dispatch) moveUpLocked() {
	for len(d.mu.line) > 0 {
		first := d.mu.line[0]
		s, err := d.pickLocked(first.kind, first.tried)
		if err != nil {
			return // as long as every node is full; nobody is left in line for longer than he waits
		}
		first.seat <- s
		d.mu.line = slices.Delete(d.mu.line, 0, 1)
	}
}

// spend takes a repeat from the budget.
func (d *dispatch) spend() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.mu.budget.Spend(d.opts.Now()) {
		d.mu.counts.unpaid++
		return false
	}
	return true
}

// list takes a new list of nodes. One without a node that can be used is not believed. It is for one goroutine at a time.
func (d *dispatch) list(nodes []route.Node) {
	nodes = d.usable(nodes)
	if len(nodes) == 0 {
		return
	}
	d.mu.Lock()
	changes := d.mu.balancer.List(d.opts.Now(), nodes)
	old := d.renewPoolsLocked()
	d.moveUpLocked()
	d.mu.Unlock()
	for _, pool := range old {
		pool.Close()
	}
	d.tell(changes)
}

// usable leaves out the nodes that nobody can call, and says so of each once.
func (d *dispatch) usable(list []route.Node) (nodes []route.Node) {
	told := map[route.NodeID]string{}
	for i := range list {
		n := &list[i]
		err := CheckURL(n.URL)
		if err == nil {
			nodes = append(nodes, *n)
			continue
		}
		if url, said := d.unusable[n.ID]; !said || url != n.URL {
			d.log.Warn("a node of the list cannot be used; correct its --advertise-url", "node", n.ID, "error", err)
		}
		told[n.ID] = n.URL
	}
	d.unusable = told
	return nodes
}

// renewPoolsLocked makes the pools of new nodes and gives those of nodes that have gone.
func (d *dispatch) renewPoolsLocked() (old []*backend.Pool) {
	known := d.mu.balancer.Nodes()
	for n, pool := range d.mu.pools {
		if !slices.Contains(known, n) {
			delete(d.mu.pools, n)
			old = append(old, pool)
		}
	}
	for _, n := range known {
		if d.mu.pools[n] == nil {
			u, err := parseURL(n.URL)
			if err != nil {
				panic(err) // list has looked at it
			}
			d.mu.pools[n] = backend.NewPool(u)
		}
	}
	return old
}

// checked takes what a check has found. Calls under way at a node that does not answer are cut off if they may be
// repeated: elsewhere they are answered sooner.
func (d *dispatch) checked(n *balance.Node, c balance.Check) {
	d.mu.Lock()
	changes := d.mu.balancer.Checked(d.opts.Now(), n, c)
	pool := d.mu.pools[n]
	d.moveUpLocked()
	d.mu.Unlock()
	for _, change := range changes {
		if change.State == balance.Down && pool != nil {
			pool.AbortAll()
		}
	}
	d.tell(changes)
}

// tell logs what became of nodes.
func (d *dispatch) tell(changes []balance.Change) {
	for _, c := range changes {
		switch {
		case c.Gone:
			d.log.Info("node left", "node", c.ID, "url", c.URL)
		case c.State == balance.Up:
			d.log.Info("node takes calls", "node", c.ID, "url", c.URL)
		default:
			d.log.Warn("node takes no calls", "node", c.ID, "url", c.URL, "state", c.State.String(), "why", c.Why)
		}
	}
}

// nodes gives those that are known.
func (d *dispatch) nodes() []*balance.Node {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.mu.balancer.Nodes())
}

func (d *dispatch) ready() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.balancer.Ready()
}

// tidy closes connections that were idle for long.
func (d *dispatch) tidy() {
	for _, pool := range d.allPools() {
		pool.Tidy(d.opts.Now())
	}
}

func (d *dispatch) closePools() {
	for _, pool := range d.allPools() {
		pool.Close()
	}
}

func (d *dispatch) allPools() []*backend.Pool {
	d.mu.Lock()
	defer d.mu.Unlock()
	pools := make([]*backend.Pool, 0, len(d.mu.pools))
	for _, pool := range d.mu.pools {
		pools = append(pools, pool)
	}
	return pools
}
