package gateway

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/flow"
	"github.com/esh3artech/esh3ar/internal/gateway/balance"
	"github.com/esh3artech/esh3ar/internal/gateway/upstream"
)

// dispatch is the Balancer with what it decides about: the pools of connections, and the calls that wait in line.
type dispatch struct {
	opts  *Options
	log   *slog.Logger
	files files

	unusable map[membership.NodeID]string // URLs of the last list that nobody can call; for list alone

	mu struct {
		sync.Mutex
		balancer *balance.Balancer
		budget   flow.RetryBudget
		pools    map[*balance.Node]*upstream.Pool
		proofs   map[string]string // by URL, of the lists so far
		shares   shares
		line     line // for a slot; at most Options.Waiting, what comes then is refused
		counts   counts
	}
}

// seat is a slot at a node.
type seat struct {
	node *balance.Node
	pool *upstream.Pool
	kind balance.Kind
	who  owner
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
	d.mu.budget = flow.RetryBudget{Share: repeatShare, Reserve: repeatReserve}
	d.mu.pools = map[*balance.Node]*upstream.Pool{}
	d.mu.proofs = map[string]string{}
	d.mu.shares.usages = map[owner]*usage{}
	d.mu.line.shares = &d.mu.shares
	return d
}

// The reasons why there is no seat.
var (
	errFull    = errors.New("every node has all the calls it can take")
	errShare   = errors.New("this caller has its share of the calls that can be under way")
	errNobody  = errors.New("no node can be reached")
	errNoFiles = errors.New("this gateway has all the connections it can have")
)

// pick gives a seat for a call, none of those where it was tried already. What is answered soon may wait in line for it.
func (d *dispatch) pick(ctx context.Context, who owner, k balance.Kind, tried []*balance.Node) (seat, error) {
	d.mu.Lock()
	if len(tried) == 0 {
		d.mu.budget.RecordCall(d.opts.Now())
	}
	s, err := d.pickLocked(who, k, tried)
	if err == nil || errors.Is(err, errNobody) {
		d.mu.Unlock()
		return s, err
	}
	if k.Long() || !d.mu.shares.mayTake(who, places, amount{d.opts.Waiting, d.mu.line.length}) {
		d.mu.counts.note(err)
		d.mu.Unlock()
		return s, err
	}
	w := &waiter{kind: k, who: who, tried: tried, seat: make(chan seat, 1)}
	d.mu.line.add(w)
	d.mu.Unlock()
	return d.wait(ctx, w, err)
}

// pickLocked chooses a node and takes a slot there. The error is errNobody, errFull or errShare.
func (d *dispatch) pickLocked(who owner, k balance.Kind, tried []*balance.Node) (seat, error) {
	if !d.mayTakeLocked(who, k) {
		return seat{}, errShare
	}
	n, outcome := d.mu.balancer.Pick(d.opts.Now(), k, tried)
	switch outcome {
	case balance.Chosen:
		d.mu.shares.takeSlot(who, k)
		return seat{n, d.mu.pools[n], k, who}, nil
	case balance.Full:
		return seat{}, errFull
	case balance.Nobody:
	}
	return seat{}, errNobody
}

// mayTakeLocked reports whether an owner has not used its share of the slots, and of those for streams. Where there are none at all it
// is not the owner's share that is the reason.
func (d *dispatch) mayTakeLocked(who owner, k balance.Kind) bool {
	if !d.hasShareLocked(who, slots, balance.Call) {
		return false
	}
	return !k.Long() || d.hasShareLocked(who, streams, k)
}

func (d *dispatch) hasShareLocked(who owner, r resource, k balance.Kind) bool {
	total, used := d.mu.balancer.Room(k)
	return used >= total || d.mu.shares.mayTake(who, r, amount{total, used})
}

// wait gives the seat that the line brings, if it does in time; else the reason why the call is in line.
func (d *dispatch) wait(ctx context.Context, w *waiter, why error) (seat, error) {
	timer := time.NewTimer(d.opts.QueueTimeout)
	defer timer.Stop()
	select {
	case s := <-w.seat:
		return s, nil
	case <-timer.C:
	case <-ctx.Done():
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if w.queued {
		d.mu.line.remove(w)
		d.mu.counts.note(why)
		return seat{}, why
	}
	return <-w.seat, nil // it came at the last moment
}

// at gives a seat at the node of that name, for what only it can answer.
func (d *dispatch) at(who owner, name membership.NodeID, k balance.Kind) (seat, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.mu.balancer.Named(name)
	switch {
	case n == nil:
		return seat{}, errNobody
	case !d.mayTakeLocked(who, k):
		d.mu.counts.share++
		return seat{}, errShare
	case !d.mu.balancer.Take(d.opts.Now(), n, k):
		d.mu.counts.full++
		return seat{}, errFull
	}
	d.mu.shares.takeSlot(who, k)
	return seat{n, d.mu.pools[n], k, who}, nil
}

// belongs counts a seat for another owner from now on: its node has accepted the credential.
func (d *dispatch) belongs(s *seat, who owner) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.shares.releaseSlot(s.who, s.kind)
	s.who = who
	d.mu.shares.takeSlot(who, s.kind)
	d.moveUpLocked()
}

// end gives a seat back, with what its call showed of the node, and lets the line move up.
func (d *dispatch) end(s seat, v balance.Verdict, took time.Duration) {
	d.mu.Lock()
	changes := d.mu.balancer.End(d.opts.Now(), s.node, s.kind, v, took)
	d.mu.shares.releaseSlot(s.who, s.kind)
	d.moveUpLocked()
	d.mu.Unlock()
	d.tell(changes)
}

func (d *dispatch) moveUpLocked() {
	if d.mu.line.length > 0 {
		d.mu.line.serve(
			func(w *waiter) bool { return d.mayTakeLocked(w.who, w.kind) },
			func(w *waiter) bool {
				s, err := d.pickLocked(w.who, w.kind, w.tried)
				if err == nil {
					w.seat <- s
				}
				return err == nil // as long as every node is full; a call stays in line no longer than it waits
			})
	}
}

// spend takes a repeat from the budget, and from the owner's share of it.
func (d *dispatch) spend(who owner) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.opts.Now()
	if !d.mu.shares.mayRepeat(who, d.mu.budget.Remaining(now), now) || !d.mu.budget.TrySpend(now) {
		d.mu.counts.retryBudgetExhausted++
		return false
	}
	return true
}

// list takes a new list of nodes. One without a node that can be used is not believed. It is for one goroutine at a time.
func (d *dispatch) list(nodes []membership.Node) {
	nodes = d.usable(nodes)
	if len(nodes) == 0 {
		return
	}
	d.mu.Lock()
	changes := d.mu.balancer.List(d.opts.Now(), nodes)
	d.renewProofsLocked(nodes)
	old := d.renewPoolsLocked()
	d.moveUpLocked()
	d.mu.Unlock()
	for _, pool := range old {
		pool.Close()
	}
	d.tell(changes)
}

// usable leaves out the nodes that nobody can call, and says so of each once.
func (d *dispatch) usable(list []membership.Node) (nodes []membership.Node) {
	told := map[membership.NodeID]string{}
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

// renewProofsLocked takes the proofs of a list, and forgets those of nodes that have gone. A proof goes to the URL that came with it.
func (d *dispatch) renewProofsLocked(nodes []membership.Node) {
	for i := range nodes {
		if n := &nodes[i]; n.Proof != "" {
			d.mu.proofs[n.URL] = n.Proof
		}
	}
	for url := range d.mu.proofs {
		if !slices.ContainsFunc(d.mu.balancer.Nodes(), func(n *balance.Node) bool { return n.URL == url }) {
			delete(d.mu.proofs, url)
		}
	}
}

// proofFor returns what a node is shown; empty: nothing.
func (d *dispatch) proofFor(n *balance.Node) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.proofs[n.URL]
}

// renewPoolsLocked makes the pools of new nodes and gives those of nodes that have gone.
func (d *dispatch) renewPoolsLocked() (old []*upstream.Pool) {
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
			d.mu.pools[n] = upstream.NewPool(u)
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
	d.mu.Lock()
	d.mu.shares.sweep(d.opts.Now())
	d.mu.Unlock()
	for _, pool := range d.allPools() {
		pool.Tidy(d.opts.Now())
	}
}

func (d *dispatch) closePools() {
	for _, pool := range d.allPools() {
		pool.Close()
	}
}

func (d *dispatch) allPools() []*upstream.Pool {
	d.mu.Lock()
	defer d.mu.Unlock()
	pools := make([]*upstream.Pool, 0, len(d.mu.pools))
	for _, pool := range d.mu.pools {
		pools = append(pools, pool)
	}
	return pools
}
