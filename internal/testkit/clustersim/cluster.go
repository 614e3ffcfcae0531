// Package clustersim is what stands between the nodes of a cluster, in memory and for tests: presence that can be wiped,
// can be wrong and can be away, and hints that can be lost, doubled, late or led astray.
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

// ErrAway is what a cluster that is away answers.
var ErrAway = errors.New("it is away")

// Delivery is what becomes of one Send.
type Delivery struct {
	To    membership.NodeID
	Hints []presence.Hint
	After time.Duration
}

// Cluster is what the nodes share.
type Cluster struct {
	mu struct {
		sync.Mutex
		entries map[esh3ar.Recipient]map[membership.NodeID]time.Time // until when
		mail    map[membership.NodeID]chan []presence.Hint
		bend    func(to membership.NodeID, hints []presence.Hint) []Delivery
		away    bool
		hangs   bool
		slow    time.Duration
	}
}

// mailLimit bounds the batches that wait for one node; when there are more, new ones are lost.
const mailLimit = 1024

// New makes a cluster in which nothing goes wrong.
func New() *Cluster {
	c := &Cluster{}
	c.mu.entries, c.mu.mail = map[esh3ar.Recipient]map[membership.NodeID]time.Time{}, map[membership.NodeID]chan []presence.Hint{}
	return c
}

// Bend sets what becomes of every Send from now on; nil: it arrives.
func (c *Cluster) Bend(bend func(to membership.NodeID, hints []presence.Hint) []Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.bend = bend
}

// Away makes every call fail from now on, or none. Where it hangs they fail when their context ends, and not before.
func (c *Cluster) Away(away, hangs bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.away, c.mu.hangs = away, hangs
}

// Slow makes every call take time: presence takes d, half of it before its effect and half after, and a Send half of d.
func (c *Cluster) Slow(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.slow = d
}

// Wipe forgets all presence, as a failover may.
func (c *Cluster) Wipe() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.mu.entries)
}

// Plant makes an entry that its node did not ask for.
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

// Nodes gives who says to hold a recipient.
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

// pass is what every call goes through.
func (c *Cluster) pass(ctx context.Context) error {
	c.mu.Lock()
	away, hangs, slow := c.mu.away, c.mu.hangs, c.mu.slow/2
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

// Presence is a node's route.Presence.
type Presence struct {
	Cluster *Cluster
	Self    membership.NodeID
}

// Assert says that the node holds recipients.
func (p Presence) Assert(ctx context.Context, rs []esh3ar.Recipient) error {
	return p.change(ctx, rs, func(r esh3ar.Recipient) { p.Cluster.assertLocked(p.Self, r) })
}

// Retract takes that back.
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

// Nodes looks recipients up.
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

// Hints is a node's route.Hints.
type Hints struct {
	Cluster *Cluster
	Self    membership.NodeID
}

// Send hands a batch over, to whatever Bend makes of it.
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
	default: // nobody listens there, or does not keep up
	}
}

// Receive gives hints to handle until ctx ends.
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
