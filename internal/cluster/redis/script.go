package redis

import (
	"context"
	"crypto/sha1" // the hash by which Redis names a script; not used for security
	"encoding/hex"

	"github.com/redis/rueidis"
)

// script is a Lua script, which a server runs atomically. Servers cache it by its hash until they restart.
type script struct{ text, hash string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text))
	return script{text, hex.EncodeToString(sum[:])}
}

// clock is the prefix of scripts that need the time. It reads the clock of the server that owns the key. Each key has one such
// server, so all writers and readers use the same clock, whatever their own clocks say, and a node that was suspended writes no
// outdated times.
const clock = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`

// run runs the script n times, each with its own keys, which must be in one slot, and arguments.
func (s script) run(ctx context.Context, c *Client, op Op, n int, on func(i int) (keys, args []string)) ([]rueidis.RedisResult, error) {
	return c.call(ctx, op, n, func(conn rueidis.Client, from, to int) exchange {
		keys, args := make([][]string, to-from), make([][]string, to-from)
		for i := range keys {
			keys[i], args[i] = on(from + i)
		}
		return func(ctx context.Context, conn rueidis.Client) []rueidis.RedisResult {
			return s.eval(ctx, conn, keys, args)
		}
	})
}

// eval runs the script by its hash, and sends its text to servers that do not know it.
func (s script) eval(ctx context.Context, conn rueidis.Client, keys, args [][]string) []rueidis.RedisResult {
	commands := make([]rueidis.Completed, len(keys))
	for i := range keys {
		commands[i] = conn.B().Evalsha().Sha1(s.hash).Numkeys(int64(len(keys[i]))).Key(keys[i]...).Arg(args[i]...).Build()
	}
	results := conn.DoMulti(ctx, commands...)
	var unknown []int
	commands = commands[:0]
	for i, r := range results {
		if answer, ok := rueidis.IsRedisErr(r.Error()); ok && answer.IsNoScript() {
			unknown = append(unknown, i)
			commands = append(commands, conn.B().Eval().Script(s.text).Numkeys(int64(len(keys[i]))).Key(keys[i]...).Arg(args[i]...).Build())
		}
	}
	if len(unknown) == 0 {
		return results
	}
	for i, r := range conn.DoMulti(ctx, commands...) {
		results[unknown[i]] = r
	}
	return results
}
