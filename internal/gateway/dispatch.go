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

// dispatch couples the Balancer with the connection pools of nodes and with the queue of calls that wait for a slot.
type dispatch struct {
	opts  *Options
	log   *slog.Logger
	files fileLimit

	unusable map[membership.NodeID]string // invalid URLs of the last list; used by setNodes only

	mu struct {
		sync.Mutex
		balancer *balance.Balancer
		budget   flow.RetryBudget
		pools    map[*balance.Node]*upstream.Pool
		proofs   map[string]string // by URL of the node
		shares   shares
		queue    waitQueue // calls that wait for a slot; at most Options.Waiting, more are refused
		counts   counts
	}
}

// slot is a slot at a node.
type slot struct {
	node *balance.Node
	pool *upstream.Pool
	kind balance.Kind
	who  owner
}

// The retry budget allows retries of a fifth of the calls, plus ten per second. When one of three nodes dies, a third of the
// calls in progress is retried at once, which is less than the calls of one second.
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
	d.mu.queue.shares = &d.mu.shares
	return d
}

// Reasons why a call gets no slot.
var (
	errFull    = errors.New("every node has reached its limit of calls")
	errShare   = errors.New("this caller has reached its share of concurrent calls")
	errNoNode  = errors.New("no node can be reached")
	errNoFiles = errors.New("this gateway cannot open more connections")
)

// pick acquires a slot for a call, at a node that is not in tried. A short call may wait in the queue for it.
func (d *dispatch) pick(ctx context.Context, who owner, k balance.Kind, tried []*balance.Node) (slot, error) {
	d.mu.Lock()
	if len(tried) == 0 {
		d.mu.budget.RecordCall(d.opts.Now())
	}
	s, err := d.pickLocked(who, k, tried)
	if err == nil || errors.Is(err, errNoNode) {
		d.mu.Unlock()
		return s, err
	}
	if k.Long() || !d.mu.shares.mayTake(who, queuePlaces, amount{d.opts.Waiting, d.mu.queue.length}) {
		d.mu.counts.note(err)
		d.mu.Unlock()
		return s, err
	}
	w := &waiter{kind: k, who: who, tried: tried, seat: make(chan slot, 1)}
	d.mu.queue.add(w)
	d.mu.Unlock()
	return d.waitForSlot(ctx, w, err)
}

// pickLocked chooses a node and takes a slot there. The error is errNobody, errFull or errShare.
func (d *dispatch) pickLocked(who owner, k balance.Kind, tried []*balance.Node) (slot, error) {
	if !d.mayTakeLocked(who, k) {
		return slot{}, errShare
	}
	n, outcome := d.mu.balancer.Pick(d.opts.Now(), k, tried)
	switch outcome {
	case balance.Chosen:
		d.mu.shares.takeSlot(who, k)
		return slot{n, d.mu.pools[n], k, who}, nil
	case balance.Full:
		return slot{}, errFull
	case balance.NoNode:
	}
	return slot{}, errNoNode
}

// mayTakeLocked reports whether an owner is within its share of the slots, and for streams also of the stream slots. If all
// slots are in use, it returns true: then the share is not the reason for a refusal.
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

// waitForSlot returns the slot that the queue assigns in time, else the reason why the call had to wait.
func (d *dispatch) waitForSlot(ctx context.Context, w *waiter, why error) (slot, error) {
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
		d.mu.queue.remove(w)
		d.mu.counts.note(why)
		return slot{}, why
	}
	return <-w.seat, nil // the slot was assigned at the last moment
}

// acquireAt acquires a slot at the node with this name, for a call that only this node can answer.
func (d *dispatch) acquireAt(who owner, name membership.NodeID, k balance.Kind) (slot, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.mu.balancer.ByName(name)
	switch {
	case n == nil:
		return slot{}, errNoNode
	case !d.mayTakeLocked(who, k):
		d.mu.counts.share++
		return slot{}, errShare
	case !d.mu.balancer.TakeSlot(d.opts.Now(), n, k):
		d.mu.counts.full++
		return slot{}, errFull
	}
	d.mu.shares.takeSlot(who, k)
	return slot{n, d.mu.pools[n], k, who}, nil
}

// reassign moves a slot to another owner, after its node has accepted the credential.
func (d *dispatch) reassign(s *slot, who owner) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.shares.releaseSlot(s.who, s.kind)
	s.who = who
	d.mu.shares.takeSlot(who, s.kind)
	d.serveQueueLocked()
}

// release frees a slot, reports the outcome of its call to the Balancer, and serves the queue.
func (d *dispatch) release(s slot, v balance.Verdict, took time.Duration) {
	d.mu.Lock()
	changes := d.mu.balancer.End(d.opts.Now(), s.node, s.kind, v, took)
	d.mu.shares.releaseSlot(s.who, s.kind)
	d.serveQueueLocked()
	d.mu.Unlock()
	d.logChanges(changes)
}

func (d *dispatch) serveQueueLocked() {
	if d.mu.queue.length > 0 {
		d.mu.queue.serve(
			func(w *waiter) bool { return d.mayTakeLocked(w.who, w.kind) },
			func(w *waiter) bool {
				s, err := d.pickLocked(w.who, w.kind, w.tried)
				if err == nil {
					w.seat <- s
				}
				return err == nil // false while every node is full
			})
	}
}

// spendRetry takes a retry from the budget and from the owner's share of it, and reports whether it could.
func (d *dispatch) spendRetry(who owner) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.opts.Now()
	if !d.mu.shares.mayRepeat(who, d.mu.budget.Remaining(now), now) || !d.mu.budget.TrySpend(now) {
		d.mu.counts.retryBudgetExhausted++
		return false
	}
	return true
}

// setNodes applies a new list of nodes. A list without a usable node is ignored. It must not be called concurrently.
func (d *dispatch) setNodes(nodes []membership.Node) {
	nodes = d.usable(nodes)
	if len(nodes) == 0 {
		return
	}
	d.mu.Lock()
	changes := d.mu.balancer.SetNodes(d.opts.Now(), nodes)
	d.renewProofsLocked(nodes)
	old := d.renewPoolsLocked()
	d.serveQueueLocked()
	d.mu.Unlock()
	for _, pool := range old {
		pool.Close()
	}
	d.logChanges(changes)
}

// usable returns the nodes with a valid URL and logs each invalid one once.
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

// renewProofsLocked stores the proofs of a list and drops those of unknown nodes. A proof is sent only to the URL that was
// listed with it.
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

// proofFor returns the proof to send to a node, or "".
func (d *dispatch) proofFor(n *balance.Node) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.proofs[n.URL]
}

// renewPoolsLocked creates the pools of new nodes, and removes and returns those of unknown nodes.
func (d *dispatch) renewPoolsLocked() []*upstream.Pool {
	var old []*upstream.Pool
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
				panic(err) // usable has checked it
			}
			d.mu.pools[n] = upstream.NewPool(u)
		}
	}
	return old
}

// applyCheck reports the result of a check to the Balancer. Calls in progress at a node that is down are aborted if they may
// be retried: another node answers them sooner.
func (d *dispatch) applyCheck(n *balance.Node, c balance.Check) {
	d.mu.Lock()
	changes := d.mu.balancer.ApplyCheck(d.opts.Now(), n, c)
	pool := d.mu.pools[n]
	d.serveQueueLocked()
	d.mu.Unlock()
	for _, change := range changes {
		if change.State == balance.Down && pool != nil {
			pool.AbortAll()
		}
	}
	d.logChanges(changes)
}

// logChanges logs changes of nodes' states.
func (d *dispatch) logChanges(changes []balance.Change) {
	for _, c := range changes {
		switch {
		case c.Gone:
			d.log.Info("node left", "node", c.ID, "url", c.URL)
		case c.State == balance.Up:
			d.log.Info("node is up", "node", c.ID, "url", c.URL)
		default:
			d.log.Warn("node is out", "node", c.ID, "url", c.URL, "state", c.State.String(), "why", c.Why)
		}
	}
}

// nodes returns the known nodes.
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

// closeIdle closes connections that were idle for too long, and drops owners without use.
func (d *dispatch) closeIdle() {
	d.mu.Lock()
	d.mu.shares.sweep(d.opts.Now())
	d.mu.Unlock()
	for _, pool := range d.allPools() {
		pool.CloseIdle(d.opts.Now())
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
