package redis

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
)

// The entries of a recipient are a sorted set of node → expiry, by the clock of the server that owns the key. The key expires with
// its last entry.
type Presence struct {
	client *Client
	node   membership.NodeID
	ttl    time.Duration
}

var _ presence.Presence = (*Presence)(nil)

// Presence implements presence.Presence for this node.
func (c *Client) Presence() *Presence { return &Presence{c, c.opts.Node, presence.TTL} }

func (p *Presence) key(r esh3ar.Recipient) string {
	return p.client.opts.Prefix + "p:{" + strconv.FormatUint(uint64(r), 10) + "}"
}

// One command instead of three: expired entries are removed by the next writer, and the key of a recipient that never returns
// expires.
var assertScript = newScript(clock + `
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 1`)

// Assert implements presence.Presence.
func (p *Presence) Assert(ctx context.Context, rs []esh3ar.Recipient) error {
	args := []string{string(p.node), strconv.FormatInt(p.ttl.Milliseconds(), 10)}
	_, err := assertScript.run(ctx, p.client, opAssert, len(rs), func(i int) (_, _ []string) { return []string{p.key(rs[i])}, args })
	return err
}

// Retract implements presence.Presence. It can only retract this node.
func (p *Presence) Retract(ctx context.Context, rs []esh3ar.Recipient) error {
	_, err := p.client.each(ctx, opRetract, len(rs), func(b rueidis.Builder, i int) rueidis.Completed {
		return b.Zrem().Key(p.key(rs[i])).Member(string(p.node)).Build()
	})
	return err
}

// maxPlaces bounds the nodes returned per recipient, because each hint is sent to each of them. An attacker could fill a set with
// ids.
const maxPlaces = 32

var presentScript = newScript(clock + `
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.0f', now), '+inf', 'LIMIT', 0, ` + strconv.Itoa(maxPlaces) + `)`)

// Nodes implements presence.Presence. Together with an error it returns the nodes that could be read.
func (p *Presence) Nodes(ctx context.Context, rs []esh3ar.Recipient) ([][]membership.NodeID, error) {
	results, err := presentScript.run(ctx, p.client, opPresent, len(rs), func(i int) (_, _ []string) { return []string{p.key(rs[i])}, nil })
	nodes := make([][]membership.NodeID, len(rs))
	for i, r := range results {
		names, _ := r.AsStrSlice() // failures are in err
		for _, name := range names {
			nodes[i] = append(nodes[i], membership.NodeID(name))
		}
	}
	return nodes, err
}
