package redis

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Quotas counts what all nodes take together: one bucket per key, with the generic cell rate algorithm (GCRA). A bucket is stored
// as the time at which it will be full, by the clock of the server that owns it, and the interval per unit at that time. Under a
// changed plan the same number of units is missing, limited to the new burst.
type Quotas struct{ client *Client }

// Quotas returns the buckets that all nodes share.
func (c *Client) Quotas() *Quotas { return &Quotas{c} }

// Bounds of a bucket: within them the numbers that Redis calculates with are exact to a percent.
const (
	MaxRate  = 100_000.0 // per second
	MaxBurst = 1_000_000_000
)

// Bucket holds the parameters of a bucket.
type Bucket struct {
	Rate  float64 // units per second; above 0, at most MaxRate
	Burst int     // capacity; 1 to MaxBurst
}

// Taken is the result of one Take.
type Taken struct {
	Allowed    bool
	Remaining  int           // units left in the bucket
	RetryAfter time.Duration // time until n units will be available; zero if allowed
	Reset      time.Duration // time until the bucket is full
}

// Times are in microseconds, with fractions as far as the numbers carry them. A refused request stores nothing.
var takeScript = newScript(`
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, burst, n = 1000000 / ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local at, was = string.match(redis.call('GET', KEYS[1]) or '0', '(%S+) ?(%S*)')
local missing = (tonumber(at) - now) / (tonumber(was) or interval)
local full = now + math.max(0, math.min(burst, missing)) * interval
local after = full + n * interval
local early = after - burst * interval - now
local allowed = 0
if early <= 0.5 then
  allowed, early, full = 1, 0, after
  if n > 0 then
    redis.call('SET', KEYS[1], string.format('%.2f %.17g', full, interval), 'PX', math.ceil((full - now) / 1000) + 1)
  end
end
local remaining = math.max(0, math.floor((now - full) / interval + burst + 0.001))
return {allowed, remaining, math.ceil(early), math.ceil(full - now)}`)

// Take takes n units from the bucket of a key, or none if it holds fewer; n may be 0 to look. If the server's clock goes back, no
// caller waits longer than a whole bucket takes to fill.
func (q *Quotas) Take(ctx context.Context, key string, b Bucket, n int) (Taken, error) {
	if err := b.check(n); err != nil {
		return Taken{}, err
	}
	keys := []string{q.client.opts.Prefix + "q:{" + key + "}"}
	args := []string{strconv.FormatFloat(b.Rate, 'g', -1, 64), strconv.Itoa(b.Burst), strconv.Itoa(n)}
	results, err := takeScript.run(ctx, q.client, opTake, 1, func(int) (_, _ []string) { return keys, args })
	if err != nil {
		return Taken{}, err
	}
	word, err := results[0].AsIntSlice()
	if err != nil || len(word) != 4 {
		return Taken{}, fmt.Errorf("%s: %v: %w", opTake, word, err)
	}
	if err := b.checkAnswer(word); err != nil {
		return Taken{}, fmt.Errorf("%s: %v: %w", opTake, word, err)
	}
	return Taken{
		Allowed: word[0] == 1, Remaining: int(word[1]),
		RetryAfter: time.Duration(word[2]) * time.Microsecond, Reset: time.Duration(word[3]) * time.Microsecond,
	}, nil
}

// checkAnswer returns an error for an answer that this bucket cannot give: the key was written by someone else.
func (b Bucket) checkAnswer(word []int64) error {
	whole := int64(float64(b.Burst)/b.Rate*1e6) + 1e6 // microseconds in which an empty bucket fills, plus a second for rounding
	if word[1] < 0 || word[1] > int64(b.Burst) || word[2] < 0 || word[2] > whole || word[3] < 0 || word[3] > whole {
		return errBucket
	}
	return nil
}

var errBucket = errors.New("no bucket of this kind gives that answer")

func (b Bucket) check(n int) error {
	switch {
	case !(b.Rate > 0) || b.Rate > MaxRate: // the first condition also rejects NaN
		return fmt.Errorf("take from a quota: the rate %g is not above 0 and at most %g", b.Rate, MaxRate)
	case b.Burst < 1 || b.Burst > MaxBurst:
		return fmt.Errorf("take from a quota: the burst %d is not 1 to %d", b.Burst, MaxBurst)
	case n < 0 || n > b.Burst:
		return fmt.Errorf("take from a quota: %d is not 0 to the burst of %d: no full bucket gives it", n, b.Burst)
	case float64(b.Burst)/b.Rate > math.MaxInt32:
		return fmt.Errorf("take from a quota: a burst of %d at %g per second takes decades to fill", b.Burst, b.Rate)
	}
	return nil
}
