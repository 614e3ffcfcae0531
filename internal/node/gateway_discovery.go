package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/esh3artech/esh3ar/internal/breaker"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/redis"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// discovery lists the nodes of a cluster for a gateway. Without a name it uses the only cluster in that Redis.
type discovery struct {
	redis *redis.Client
	log   *slog.Logger

	mu struct {
		sync.Mutex
		keys    clusterKeys
		unknown bool            // the last read of the keys failed
		nodes   *redis.Registry // nil until the cluster is known
	}
}

// discover opens Redis. An unavailable Redis is no error; several clusters without --cluster are one. The discovery closes the source.
func discover(ctx context.Context, url, cluster string, source keySource, log *slog.Logger) (*discovery, error) {
	d := &discovery{log: log}
	d.mu.keys.source = source
	guard := breaker.New("redis", breaker.Options{Counts: func(err error) bool { return errors.Is(err, redis.ErrAway) }})
	var err error
	d.redis, err = redis.Open(ctx, redis.Options{
		URL: url, Node: "gateway", Prefix: redisPrefix, Trusted: &d.mu.keys, Guard: guard.Do, OnRefused: RefusedIn(log),
	})
	if err != nil {
		return nil, errors.Join(err, source.close())
	}
	if cluster != "" {
		d.choose(cluster)
		return d, nil
	}
	if _, err = d.Nodes(ctx); errors.Is(err, errSeveralClusters) {
		d.close()
		return nil, usage.Wrap(err)
	}
	return d, nil
}

var (
	errSeveralClusters = errors.New("--cluster: this Redis has several clusters, choose one")
	errNoKeysYet       = errors.New("the keys of the cluster are not known yet")
	errNoCluster       = errors.New("no cluster uses this Redis yet")
)

// Nodes implements gateway's lister.
func (d *discovery) Nodes(ctx context.Context) ([]membership.Node, error) {
	nodes, err := d.registry(ctx)
	if err != nil {
		return nil, err
	}
	return nodes.Nodes(ctx)
}

func (d *discovery) registry(ctx context.Context) (*redis.Registry, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refreshLocked(ctx)
	if d.mu.nodes != nil {
		return d.mu.nodes, nil
	}
	if d.mu.keys.Empty() {
		return nil, errNoKeysYet
	}
	clusters, err := directory(d.redis, "").Nodes(ctx)
	switch {
	case err != nil:
		return nil, err
	case len(clusters) == 0:
		return nil, errNoCluster
	case len(clusters) > 1:
		return nil, fmt.Errorf("%w: %s", errSeveralClusters, names(clusters))
	}
	d.chooseLocked(string(clusters[0].ID))
	return d.mu.nodes, nil
}

// refreshLocked reads the keys again when the pause has passed. If the source does not answer, the last keys stay.
func (d *discovery) refreshLocked(ctx context.Context) {
	cluster, err := d.mu.keys.refresh(ctx)
	if (err != nil) != d.mu.unknown {
		d.mu.unknown = err != nil
		if err != nil {
			d.log.Warn("the keys of the cluster cannot be read; nodes of Redis are verified with those that were last read", "error", err)
		} else {
			d.log.Info("the keys of the cluster are read", "keys", d.mu.keys.IDs())
		}
	}
	if cluster != "" && d.mu.nodes == nil {
		d.chooseLocked(cluster)
	}
}

func (d *discovery) choose(cluster string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.chooseLocked(cluster)
}

func (d *discovery) chooseLocked(cluster string) {
	d.mu.nodes = d.redis.RegistryAt(ClusterPrefix(cluster), "gateway")
	d.log.Info("forwarding calls to the nodes of this cluster", "cluster", cluster)
}

func names(clusters []membership.Node) string {
	list := make([]string, len(clusters))
	for i := range clusters {
		list[i] = string(clusters[i].ID)
	}
	return strings.Join(list, ", ")
}

func (d *discovery) close() {
	d.redis.Close()
	if err := d.mu.keys.source.close(); err != nil {
		d.log.Warn("close the source of the keys", "error", err)
	}
}
