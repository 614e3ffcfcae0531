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

// cluster contains what a node shares with other nodes in addition to the store. It holds hints only: without it, messages between
// nodes take as long as the sweep. A nil cluster is a node that runs alone.
type cluster struct {
	self      membership.NodeID
	redis     *redis.Client
	breaker   *breaker.Breaker // of redis
	presence  *presence.CachedPresence
	router    *presence.Router
	heartbeat *membership.Heartbeat
	caches    *cache.Shared
	scaler    *autoscale.Scaler // nil without an autoscaler in this process
}

// openCluster connects to Redis. The prefix of its keys is that of the database, so nodes of other databases can use the same Redis.
func (n *node) openCluster(ctx context.Context) error {
	var err error
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
	c.presence = presence.NewCachedPresence(c.redis.Presence())
	c.router = presence.NewRouter(presence.Options{Self: self, Presence: c.presence, Hints: c.redis.Hints(), OnError: n.logFailures("router")})
	c.heartbeat = membership.NewHeartbeat(membership.Options{
		Registry: advertisedRegistry{c.redis.Registry(), directory(c.redis, n.account.Cluster)}, Status: n.status, OnPeers: n.peersChanged, OnDuplicateID: n.duplicateID,
		OnError: n.logFailures("registry"),
	})
	c.caches = cache.NewShared(c.redis.Level(), cache.SharedOptions{OnError: n.logFailures("cache")})
	n.cluster = c
	return nil
}

// logFailures returns a function that logs single failures at debug level; redisChanged reports an outage once.
func (n *node) logFailures(part string) func(operation string, err error) {
	return func(operation string, err error) { n.log.Debug(part, "operation", operation, "error", err) }
}

// redisChanged logs the beginning and the end of an outage of Redis.
func (n *node) redisChanged(part string, down error) {
	if down == nil {
		n.log.Info("Redis answers", "part", part)
		return
	}
	n.log.Warn("Redis does not answer; nothing is lost, messages between nodes take up to 3 s until it is back", "part", part, "error", down)
}

// RefusedIn returns a function that warns of entries in Redis that no node of this cluster signed. The client calls it at most once a
// minute for each part.
func RefusedIn(log *slog.Logger) func(part string, err error) {
	return func(part string, err error) {
		log.Warn("Redis contains entries that no node of this cluster signed, and they are ignored; check who may write to Redis, and the clocks of the nodes",
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
	n.log.Warn("another node uses this node's id, so only one of them receives calls: give one of them another --node-id", "node", other.ID, "other", other.URL)
}

// status returns what this node announces about itself.
func (n *node) status() membership.Node {
	word := membership.Node{
		ID: membership.NodeID(n.id), URL: n.url, Version: buildinfo.Version, StartedAt: esh3ar.TimeOf(n.started), Draining: n.draining.Context().Err() != nil,
		Connections: int(n.engine.Stats().Sessions), Parts: n.load.load(),
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

// remote returns the other nodes as delivery needs them; nil if the node runs alone.
func (c *cluster) remote() delivery.Remote {
	if c == nil {
		return nil
	}
	return c.router
}

// shared returns the cache level that nodes share; nil if the node runs alone.
func (c *cluster) shared() *cache.Shared {
	if c == nil {
		return nil
	}
	return c.caches
}

// cacheStats returns the statistics of the caches that only a cluster has.
func (c *cluster) cacheStats() []cache.Stats {
	if c == nil {
		return nil
	}
	return []cache.Stats{c.presence.Stats()}
}

// nodes returns the nodes of the last list that was read; none if the node runs alone.
func (c *cluster) nodes() []membership.Node {
	if c == nil {
		return nil
	}
	return c.heartbeat.Nodes()
}

// recent returns the nodes whose status is current; none if the node runs alone or the registry does not answer.
func (c *cluster) recent() []membership.Node {
	if c == nil {
		return nil
	}
	return c.heartbeat.Recent()
}

// run takes part in the cluster until ctx ends.
func (c *cluster) run(ctx context.Context, engine *delivery.Engine) error {
	if c == nil {
		return nil
	}
	var group errgroup.Group
	group.Go(func() error { return c.router.Run(ctx, engine.LocalEndpoint()) })
	group.Go(func() error { return c.heartbeat.Run(ctx) })
	group.Go(func() error { return c.caches.Run(ctx) })
	return group.Wait()
}

// announce publishes at once whether this node takes work.
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
