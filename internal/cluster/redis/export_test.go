package redis

import (
	"context"
	"time"

	"github.com/redis/rueidis"
)

// MaxExchanges is the bound on concurrent exchanges.
const MaxExchanges = maxExchanges

// UnderWay returns the number of exchanges in progress.
func (c *Client) UnderWay() int { return len(c.slots) }

// Hang performs a call in which the library ignores its context until the gate opens.
func (c *Client) Hang(ctx context.Context, gate <-chan struct{}) error {
	_, err := c.call(ctx, opPing, 1, func(rueidis.Client, int, int) exchange {
		return func(_ context.Context, conn rueidis.Client) []rueidis.RedisResult {
			<-gate
			return conn.DoMulti(context.Background(), conn.B().Ping().Build())
		}
	})
	return err
}

// SetTTL shortens the validity of an entry, because tests cannot move the servers' clock.
func (p *Presence) SetTTL(ttl time.Duration) { p.ttl = ttl }

// SetTTL shortens the validity of an announcement, because tests cannot move the servers' clock.
func (r *Registry) SetTTL(ttl time.Duration) { r.ttl = ttl }
