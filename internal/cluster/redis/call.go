package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/rueidis"
	"golang.org/x/sync/errgroup"
)

// ErrAway means that Redis does not answer, or answers that it cannot now. Some of what was asked may have been done.
var ErrAway = errors.New("redis is away")

var (
	errNotConnected = fmt.Errorf("%w: never reached so far", ErrAway)
	errClosed       = fmt.Errorf("%w: the client is closed", ErrAway)
	errSilent       = fmt.Errorf("%w: no answer in time", ErrAway)
	errEnded        = fmt.Errorf("%w: the server ended the subscription", ErrAway)
)

// away makes an error of the library one of ours.
func away(err error) error {
	if errors.Is(err, ErrAway) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrAway, err)
}

// passing tells the answers that say "not now".
func passing(answer *rueidis.RedisError) bool {
	_, moved := answer.IsMoved()
	_, asked := answer.IsAsk()
	return moved || asked || answer.IsClusterDown() || answer.IsLoading() || answer.IsTryAgain() ||
		strings.HasPrefix(answer.Error(), "MASTERDOWN") || strings.HasPrefix(answer.Error(), "BUSY")
}

// failure is what is wrong with a result; that there is nothing is not.
func failure(r rueidis.RedisResult) error {
	err := r.Error()
	if err == nil || rueidis.IsRedisNil(err) {
		return nil
	}
	if answer, ok := rueidis.IsRedisErr(err); ok && !passing(answer) {
		return fmt.Errorf("redis answers: %w", err)
	}
	return away(err)
}

// Chunks of a long call: a chunk is one exchange. With a master that is silent each takes the whole timeout, so that a few
// go side by side.
const (
	chunkSize   = 512
	chunksAside = 8
)

// exchange speaks with the servers. It runs on a goroutine that its caller may leave behind: it uses nothing that belongs to
// a caller.
type exchange func(ctx context.Context, conn rueidis.Client) []rueidis.RedisResult

// call makes n results, chunk by chunk, through the guard: prepare makes the exchange for the results from from to to. The
// error is the first of all; where some results are good, the guard hears of none.
func (c *Client) call(ctx context.Context, op Op, n int, prepare func(conn rueidis.Client, from, to int) exchange) ([]rueidis.RedisResult, error) {
	if n == 0 {
		return nil, nil
	}
	began := time.Now()
	var (
		results []rueidis.RedisResult
		first   error
		called  bool
	)
	refused := c.opts.Guard(func() (none error) {
		called = true
		results, first, none = c.chunks(ctx, n, prepare)
		return none
	})
	if !called {
		first = away(refused)
	}
	c.stats.ops[op].note(n, first, time.Since(began))
	if first != nil {
		first = fmt.Errorf("%s: %w", op, first)
	}
	return results, first
}

// chunks gives all results, the first error among them, and the same where there is no good one.
func (c *Client) chunks(ctx context.Context, n int, prepare func(conn rueidis.Client, from, to int) exchange) (results []rueidis.RedisResult, first, none error) {
	results = make([]rueidis.RedisResult, n)
	var group errgroup.Group
	group.SetLimit(chunksAside)
	for from := 0; from < n; from += chunkSize {
		to := min(n, from+chunkSize)
		group.Go(func() error {
			c.chunk(ctx, results[from:to], func(conn rueidis.Client) exchange { return prepare(conn, from, to) })
			return nil
		})
	}
	_ = group.Wait() // always nil: errors stand in the results
	good := 0
	for _, r := range results {
		switch err := failure(r); {
		case err == nil:
			good++
		case first == nil:
			first = err
		}
	}
	if first != nil && ctx.Err() != nil {
		first = context.Cause(ctx)
	}
	if good == 0 {
		none = first
	}
	return results, first, none
}

// chunk is one exchange within the timeout; without an answer all of its results are the error.
func (c *Client) chunk(ctx context.Context, results []rueidis.RedisResult, prepare func(conn rueidis.Client) exchange) {
	answers, err := c.exchange(ctx, prepare)
	if err == nil && len(answers) != len(results) {
		err = fmt.Errorf("%d answers to %d commands", len(answers), len(results))
	}
	if err == nil {
		copy(results, answers)
		return
	}
	for i := range results {
		results[i] = rueidis.NewErrorResult(err)
	}
}

func (c *Client) exchange(ctx context.Context, prepare func(conn rueidis.Client) exchange) ([]rueidis.RedisResult, error) {
	conn := c.conn.Load()
	if conn == nil {
		return nil, errNotConnected
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.opts.Timeout, errSilent)
	defer cancel()
	select {
	case c.slots <- struct{}{}:
	case <-c.closed:
		return nil, errClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	work := prepare(*conn)
	done := make(chan []rueidis.RedisResult, 1) // so that one left behind can end
	go func() {
		done <- work(ctx, *conn)
		<-c.slots // Close waits for it
	}()
	select {
	case answers := <-done:
		return answers, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// each sends n commands, one for each result.
func (c *Client) each(ctx context.Context, op Op, n int, build func(b rueidis.Builder, i int) rueidis.Completed) ([]rueidis.RedisResult, error) {
	return c.call(ctx, op, n, func(conn rueidis.Client, from, to int) exchange {
		commands := make([]rueidis.Completed, 0, to-from)
		for i := from; i < to; i++ {
			commands = append(commands, build(conn.B(), i))
		}
		return func(ctx context.Context, conn rueidis.Client) []rueidis.RedisResult {
			return conn.DoMulti(ctx, commands...)
		}
	})
}
