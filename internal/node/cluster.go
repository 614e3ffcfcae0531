package node

import (
	"context"
	"errors"
	"log/slog"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/autoscale"
	"github.com/esh3artech/esh3ar/internal/breaker"
	"github.com/esh3artech/esh3ar/internal/buildinfo"
	"github.com/esh3artech/esh3ar/internal/cache"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
	"github.com/esh3artech/esh3ar/internal/cluster/redis"
	"github.com/esh3artech/esh3ar/internal/delivery"
)

// cluster is what a node shares with others besides the store. None of it is truth: without it messages between nodes take
// as long as the sweep.
type cluster struct {
	self      membership.NodeID
	redis     *redis.Client
	breaker   *breaker.Breaker // before it
	places    *presence.CachedPresence
	router    *presence.Router
	heartbeat *membership.Heartbeat
	caches    *cache.Shared
	scaler    *autoscale.Scaler // nil: none in this process
}

// openCluster joins the nodes of the same database, and no others that may use the same Redis.
func (n *node) openCluster(ctx context.Context) (err error) {
	if n.config.RedisURL == "" {
		return nil
	}
	self := membership.NodeID(n.id)
	c := &cluster{self: self, breaker: breaker.New("redis", breaker.Options{
		OnChange: n.breakerChanged, Counts: func(err error) bool { return errors.Is(err, redis.ErrAway) },
	})}
	c.redis, err = redis.Open(ctx, redis.Options{
		URL: n.config.RedisURL, Node: self, Prefix: ClusterPrefix(n.account.Cluster), Keys: n.account.Ring,
		Guard: c.breaker.Do, OnChange: n.redisChanged, OnRefused: RefusedIn(n.log),
	})
	if err != nil {
		return err
	}
	c.places = presence.NewCachedPresence(c.redis.Presence())
	c.router = presence.NewRouter(presence.Options{Self: self, Presence: c.places, Hints: c.redis.Hints(), OnError: n.debugged("router")})
	c.heartbeat = membership.NewHeartbeat(membership.Options{
		Registry: findable{c.redis.Registry(), directory(c.redis, n.account.Cluster)}, Status: n.word, OnPeers: n.peersChanged, OnDuplicateID: n.duplicateID,
		OnError: n.debugged("registry"),
	})
	c.caches = cache.NewShared(c.redis.Level(), cache.SharedOptions{OnError: n.debugged("cache")})
	n.cluster = c
	return nil
}

// debugged logs single failures for who looks for them: the breaker and redisChanged speak to everybody else.
func (n *node) debugged(part string) func(operation string, err error) {
	return func(operation string, err error) { n.log.Debug(part, "operation", operation, "error", err) }
}

// redisChanged tells the operator once what is not as it should be.
func (n *node) redisChanged(part string, down error) {
	if down == nil {
		n.log.Info("Redis answers", "part", part)
		return
	}
	n.log.Warn("Redis does not answer; nothing is lost, messages between nodes take up to 3 s until it is back", "part", part, "error", down)
}

// RefusedIn warns of what was in Redis and is not a node's. The client calls it once a minute for each part at most.
func RefusedIn(log *slog.Logger) func(part string, err error) {
	return func(part string, err error) {
		log.Warn("something in Redis is not of a node of this cluster, and is not used; check who may write there, and the clocks of the nodes",
			"part", part, "error", err)
	}
}

func (n *node) peersChanged(joined, left []membership.NodeID) {
	if len(joined) > 0 {
		n.log.Info("nodes joined the cluster", "cluster", n.account.Cluster, "nodes", joined)
	}
	if len(left) > 0 {
		n.log.Warn("nodes left the cluster", "nodes", left)
	}
}

// duplicateID warns that another process announces itself under the id of this node. Gateways and phones find only one of the two.
func (n *node) duplicateID(other membership.Node) {
	n.log.Warn("another node has this node's name, and only one of them is found: give one of them another --node-id", "node", other.ID, "other", other.URL)
}

// word is what this node says of itself.
func (n *node) word() membership.Node {
	word := membership.Node{
		ID: membership.NodeID(n.id), URL: n.url, Version: buildinfo.Version, StartedAt: esh3ar.TimeOf(n.started), Draining: n.draining.Context().Err() != nil,
		Connections: int(n.engine.Stats().Sessions), Parts: n.vitals.load(),
		Proof: n.proof,
	}
	word.Load = word.Parts.Score()
	for _, lane := range n.intake.Lanes() {
		word.Waiting += lane.Messages
	}
	word.Spilled = n.spilling.messages()
	word.Waiting += n.intake.Admission().Waiting
	return word
}

// remote is the rest of the cluster as delivery needs it; nil: there is none.
func (c *cluster) remote() delivery.Remote {
	if c == nil {
		return nil
	}
	return c.router
}

// shared is what the caches have in common with those of other nodes; nil: nothing.
func (c *cluster) shared() *cache.Shared {
	if c == nil {
		return nil
	}
	return c.caches
}

// cacheStats are those of the caches that only a cluster has.
func (c *cluster) cacheStats() []cache.Stats {
	if c == nil {
		return nil
	}
	return []cache.Stats{c.places.Stats()}
}

// nodes are those that were last heard of; none: there is no cluster.
func (c *cluster) nodes() []membership.Node {
	if c == nil {
		return nil
	}
	return c.heartbeat.Nodes()
}

// find returns the node with an id; see presence.Herald.Find.
func (c *cluster) find(ctx context.Context, id membership.NodeID) (membership.Node, bool) {
	return c.heartbeat.Find(ctx, id)
}

// recent are those of whom it is known how they are; none: there is no cluster, or no word of it.
func (c *cluster) recent() []membership.Node {
	if c == nil {
		return nil
	}
	return c.heartbeat.Recent()
}

// run joins the cluster until ctx ends.
func (c *cluster) run(ctx context.Context, engine *delivery.Engine) error {
	if c == nil {
		return nil
	}
	var group errgroup.Group
	group.Go(func() error { return c.router.Run(ctx, engine.Here()) })
	group.Go(func() error { return c.heartbeat.Run(ctx) })
	group.Go(func() error { return c.caches.Run(ctx) })
	return group.Wait()
}

// announce tells the cluster at once whether this node takes work.
func (c *cluster) announce() {
	if c != nil {
		c.heartbeat.AnnounceNow()
	}
}

func (c *cluster) close() {
	if c != nil {
		c.redis.Close()
	}
}
