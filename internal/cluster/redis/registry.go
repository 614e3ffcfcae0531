package redis

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

// Registry stores the list of nodes in one slot: a sorted set of node → expiry by the clock of the server that owns the slot, and a
// hash of node → signed status. Both keys expire with their last entry.
//
// An entry is valid only if a node of the cluster signed it for this list and this id, and its stamp is fresh. An attacker with
// write access to Redis can hide a node, or keep an entry for keyring.Freshness after the node has left or changed, but cannot
// create or change an entry.
type Registry struct {
	client *Client
	prefix string
	node   membership.NodeID
	ttl    time.Duration
	quiet  bool // refused entries are neither counted nor reported
}

var _ membership.Registry = (*Registry)(nil)

// Registry returns the registry of this node's cluster.
func (c *Client) Registry() *Registry { return c.RegistryAt(c.opts.Prefix, c.opts.Node) }

// RegistryAt returns another registry, with its own key prefix, in which this node has the id place.
func (c *Client) RegistryAt(prefix string, place membership.NodeID) *Registry {
	return &Registry{client: c, prefix: prefix, node: place, ttl: membership.TTL}
}

// Shared returns the registry for use by several clusters: entries of other clusters are ignored and are not an error.
func (r *Registry) Shared() *Registry {
	shared := *r
	shared.quiet = true
	return &shared
}

func (r *Registry) keys() []string {
	return []string{r.prefix + "{nodes}:until", r.prefix + "{nodes}:word"}
}

var announceScript = newScript(clock + `
for _, gone in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
  redis.call('ZREM', KEYS[1], gone)
  redis.call('HDEL', KEYS[2], gone)
end
local before = redis.call('HGET', KEYS[2], ARGV[1])
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
for _, key in ipairs(KEYS) do
  if redis.call('PTTL', key) < tonumber(ARGV[2]) then
    redis.call('PEXPIRE', key, ARGV[2])
  end
end
return before`)

// Announce implements membership.Registry. The id is always this node's. SeenAt is not stored, because readers compute it from the
// server's clock. A previous entry that is malformed or not signed counts as missing.
func (r *Registry) Announce(ctx context.Context, n membership.Node) (membership.Node, error) {
	var before membership.Node
	n.ID = r.node
	word, err := r.sign(n)
	if err != nil {
		return before, fmt.Errorf("announce: %w", err)
	}
	args := []string{string(r.node), strconv.FormatInt(r.ttl.Milliseconds(), 10), word}
	results, err := announceScript.run(ctx, r.client, opAnnounce, 1, func(int) (_, _ []string) { return r.keys(), args })
	if err != nil {
		return before, err
	}
	replaced, err := results[0].ToString()
	if rueidis.IsRedisNil(err) {
		return before, nil
	}
	if err != nil {
		return before, err
	}
	before, _ = r.verify(string(r.node), replaced) // an entry that is not authentic counts as missing
	return before, nil
}

// Leave implements membership.Registry.
func (r *Registry) Leave(ctx context.Context) error {
	keys := r.keys()
	_, err := r.client.each(ctx, opLeave, len(keys), func(b rueidis.Builder, i int) rueidis.Completed {
		if i == 0 {
			return b.Zrem().Key(keys[0]).Member(string(r.node)).Build()
		}
		return b.Hdel().Key(keys[1]).Field(string(r.node)).Build()
	})
	return err
}

// Bounds of what is read from a list that an attacker may have filled.
const (
	maxNodes = 1024
	maxWord  = 8 << 10 // bytes; an entry of a node takes about 1 KiB
)

// The result is a flat list: id, expiry, status, and so on.
var nodesScript = newScript(clock + `
local found = {}
local list = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now), '+inf', 'WITHSCORES', 'LIMIT', 0, ` + strconv.Itoa(maxNodes) + `)
for i = 1, #list, 2 do
  local word = redis.call('HGET', KEYS[2], list[i])
  if word and #word <= ` + strconv.Itoa(maxWord) + ` then
    table.insert(found, list[i])
    table.insert(found, list[i + 1])
    table.insert(found, word)
  end
end
return found`)

// Nodes implements membership.Registry. Entries that are not signed by a node of the cluster, or that this version cannot decode,
// are left out and counted.
func (r *Registry) Nodes(ctx context.Context) ([]membership.Node, error) {
	results, err := nodesScript.run(ctx, r.client, opNodes, 1, func(int) (_, _ []string) { return r.keys(), nil })
	if err != nil {
		return nil, err
	}
	list, err := results[0].AsStrSlice()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", opNodes, err)
	}
	var nodes []membership.Node
	for entry := range slices.Chunk(list, 3) {
		n, err := r.read(entry)
		if isRefusal(err) && r.quiet {
			continue
		}
		if isRefusal(err) {
			r.client.reject(partRegistry, fmt.Errorf("entry of %.64q in %s: %w", entry[0], r.prefix, err))
			continue
		}
		if err != nil {
			r.client.stats.nodesUnreadable.Add(1)
			continue
		}
		nodes = append(nodes, n)
	}
	slices.SortFunc(nodes, func(a, b membership.Node) int { return cmp.Compare(a.ID, b.ID) })
	return nodes, nil
}

func (r *Registry) read(entry []string) (membership.Node, error) {
	var n membership.Node
	var err error
	if n, err = r.verify(entry[0], entry[2]); err != nil {
		return n, err
	}
	until, err := strconv.ParseFloat(entry[1], 64)
	n.SeenAt = esh3ar.Time(until).Add(-r.ttl)
	return n, err
}
