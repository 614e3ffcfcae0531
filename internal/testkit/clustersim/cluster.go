// Package clustersim simulates what connects the nodes of a cluster, in memory and for tests: presence that can lose entries, be
// wrong or be unavailable, and hints that can be lost, duplicated, delayed or misrouted.
//
// Concurrency: every method may be called from any goroutine.
package clustersim

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
)

// ErrAway is the error of every call while the cluster is unavailable.
var ErrAway = errors.New("it is away")

// Delivery describes one delivery that results from a Send.
type Delivery struct {
	To    membership.NodeID
	Hints []presence.Hint
	After time.Duration
}

// Cluster is the state that the nodes share.
type Cluster struct {
	mu struct {
		sync.Mutex
		entries map[esh3ar.Recipient]map[membership.NodeID]time.Time // expiry of each entry
		mail    map[membership.NodeID]chan []presence.Hint
		bend    func(to membership.NodeID, hints []presence.Hint) []Delivery
		away    bool
		hangs   bool
		slow    time.Duration
	}
}

// mailLimit bounds the batches that wait for one node; further batches are lost.
const mailLimit = 1024

// New returns a cluster without faults.
func New() *Cluster {
	c := &Cluster{}
	c.mu.entries, c.mu.mail = map[esh3ar.Recipient]map[membership.NodeID]time.Time{}, map[membership.NodeID]chan []presence.Hint{}
	return c
}

// Bend sets a function that decides the deliveries of every later Send; nil delivers every batch as sent.
func (c *Cluster) Bend(bend func(to membership.NodeID, hints []presence.Hint) []Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.bend = bend
}

// Away makes every later call fail, or none if away is false. If hangs is true, the calls fail only when their context ends.
func (c *Cluster) Away(away, hangs bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.away, c.mu.hangs = away, hangs
}

// Slow delays every later call. A call of presence takes d, half of it before its effect and half after; a Send takes half of d.
func (c *Cluster) Slow(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.slow = d
}

// Wipe deletes all presence entries, as a failover may.
func (c *Cluster) Wipe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.mu.entries)
}

// Plant creates a presence entry that its node did not assert.
func (c *Cluster) Plant(node membership.NodeID, r esh3ar.Recipient) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.assertLocked(node, r)
}

func (c *Cluster) assertLocked(node membership.NodeID, r esh3ar.Recipient) {
	if c.mu.entries[r] == nil {
		c.mu.entries[r] = map[membership.NodeID]time.Time{}
	}
	c.mu.entries[r][node] = time.Now().Add(presence.TTL)
}

// Nodes returns the nodes with an unexpired entry of the recipient, sorted.
func (c *Cluster) Nodes(r esh3ar.Recipient) (nodes []membership.NodeID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for node, until := range c.mu.entries[r] {
		if time.Now().Before(until) {
			nodes = append(nodes, node)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// pass applies the configured delay and faults; every call begins with it.
func (c *Cluster) pass(ctx context.Context) error {
	c.mu.Lock()
	away := c.mu.away
	hangs := c.mu.hangs
	slow := c.mu.slow / 2
	c.mu.Unlock()
	switch {
	case away && !hangs:
		return ErrAway
	case away:
		<-ctx.Done()
		return ctx.Err()
	case slow > 0:
		select {
		case <-ctx.Done():
		case <-time.After(slow):
		}
	}
	return ctx.Err()
}

var (
	_ presence.Presence = Presence{}
	_ presence.Hints    = Hints{}
)

// Presence implements presence.Presence for one node.
type Presence struct {
	Cluster *Cluster
	Self    membership.NodeID
}

// Assert implements presence.Presence.
func (p Presence) Assert(ctx context.Context, rs []esh3ar.Recipient) error {
	return p.change(ctx, rs, func(r esh3ar.Recipient) { p.Cluster.assertLocked(p.Self, r) })
}

// Retract implements presence.Presence.
func (p Presence) Retract(ctx context.Context, rs []esh3ar.Recipient) error {
	return p.change(ctx, rs, func(r esh3ar.Recipient) { delete(p.Cluster.mu.entries[r], p.Self) })
}

func (p Presence) change(ctx context.Context, rs []esh3ar.Recipient, do func(esh3ar.Recipient)) error {
	if err := p.Cluster.pass(ctx); err != nil {
		return err
	}
	p.Cluster.mu.Lock()
	for _, r := range rs {
		do(r)
	}
	p.Cluster.mu.Unlock()
	return p.Cluster.pass(ctx)
}

// Nodes implements presence.Presence.
func (p Presence) Nodes(ctx context.Context, rs []esh3ar.Recipient) ([][]membership.NodeID, error) {
	if err := p.Cluster.pass(ctx); err != nil {
		return nil, err
	}
	nodes := make([][]membership.NodeID, len(rs))
	for i, r := range rs {
		nodes[i] = p.Cluster.Nodes(r)
	}
	return nodes, p.Cluster.pass(ctx)
}

// Hints implements presence.Hints for one node.
type Hints struct {
	Cluster *Cluster
	Self    membership.NodeID
}

// Send implements presence.Hints. The function set by Bend decides what is delivered.
func (h Hints) Send(ctx context.Context, to membership.NodeID, hints []presence.Hint) error {
	c := h.Cluster
	if err := c.pass(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	deliveries := []Delivery{{To: to, Hints: hints}}
	if c.mu.bend != nil {
		deliveries = c.mu.bend(to, hints)
	}
	for _, d := range deliveries {
		if d.After == 0 {
			c.deliverLocked(&d)
			continue
		}
		time.AfterFunc(d.After, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.deliverLocked(&d)
		})
	}
	return nil
}

func (c *Cluster) deliverLocked(d *Delivery) {
	select {
	case c.mu.mail[d.To] <- slices.Clone(d.Hints):
	default: // no receiver, or its queue is full
	}
}

// Receive implements presence.Hints.
func (h Hints) Receive(ctx context.Context, handle func([]presence.Hint)) error {
	c := h.Cluster
	mail := make(chan []presence.Hint, mailLimit)
	c.mu.Lock()
	c.mu.mail[h.Self] = mail
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.mu.mail[h.Self] == mail {
			delete(c.mu.mail, h.Self)
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case hints := <-mail:
			handle(hints)
		}
	}
}
