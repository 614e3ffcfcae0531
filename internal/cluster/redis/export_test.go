package redis

import (
	"context"
	"time"

	"github.com/redis/rueidis"
)

// MaxExchanges is how many go on at the same time.
const MaxExchanges = maxExchanges

// UnderWay is how many go on now.
func (c *Client) UnderWay() int { return len(c.slots) }

// Hang is a call in which the library looks at no clock until the gate opens.
func (c *Client) Hang(ctx context.Context, gate <-chan struct{}) error {
	_, err := c.call(ctx, opPing, 1, func(rueidis.Client, int, int) exchange {
		return func(_ context.Context, conn rueidis.Client) []rueidis.RedisResult {
			<-gate
			return conn.DoMulti(context.Background(), conn.B().Ping().Build())
		}
	})
	return err
}

// SetTTL shortens how long a word stands: the servers' clock is no test's to move.
func (p *Presence) SetTTL(ttl time.Duration) { p.ttl = ttl }

// SetTTL shortens how long a word stands: the servers' clock is no test's to move.
func (r *Registry) SetTTL(ttl time.Duration) { r.ttl = ttl }
