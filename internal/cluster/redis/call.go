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

// ErrAway means that Redis does not answer, or temporarily refuses the command. Parts of the operation may have been performed.
var ErrAway = errors.New("redis is unavailable")

var (
	errNotConnected = fmt.Errorf("%w: no connection yet", ErrAway)
	errClosed       = fmt.Errorf("%w: the client is closed", ErrAway)
	errSilent       = fmt.Errorf("%w: no answer in time", ErrAway)
	errEnded        = fmt.Errorf("%w: the server ended the subscription", ErrAway)
)

// away wraps an error of the library in ErrAway.
func away(err error) error {
	if errors.Is(err, ErrAway) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrAway, err)
}

// temporary reports whether an answer means "try again later".
func temporary(answer *rueidis.RedisError) bool {
	_, moved := answer.IsMoved()
	_, asked := answer.IsAsk()
	return moved || asked || answer.IsClusterDown() || answer.IsLoading() || answer.IsTryAgain() ||
		strings.HasPrefix(answer.Error(), "MASTERDOWN") || strings.HasPrefix(answer.Error(), "BUSY")
}

// errorOf returns the error of a result. A missing key is not an error.
func errorOf(r rueidis.RedisResult) error {
	err := r.Error()
	if err == nil || rueidis.IsRedisNil(err) {
		return nil
	}
	if answer, ok := rueidis.IsRedisErr(err); ok && !temporary(answer) {
		return fmt.Errorf("redis answers: %w", err)
	}
	return away(err)
}

// A long call is split into chunks; each chunk is one exchange. If a master does not answer, each of its chunks takes the whole
// timeout, so several run concurrently.
const (
	chunkSize = 512
	maxChunks = 8
)

// exchange sends commands and returns the results. It runs on a goroutine that its caller may abandon, so it must not use memory of
// the caller.
type exchange func(ctx context.Context, conn rueidis.Client) []rueidis.RedisResult

// call performs an operation with n results through the guard, chunk by chunk. prepare returns the exchange for the results [from,
// to). call returns the first error of all results. The guard gets an error only if no result is good.
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

// chunks returns all results, the first error among them, and in none the same error if no result is good.
func (c *Client) chunks(ctx context.Context, n int, prepare func(conn rueidis.Client, from, to int) exchange) (results []rueidis.RedisResult, first, none error) {
	results = make([]rueidis.RedisResult, n)
	var group errgroup.Group
	group.SetLimit(maxChunks)
	for from := 0; from < n; from += chunkSize {
		to := min(n, from+chunkSize)
		group.Go(func() error {
			c.chunk(ctx, results[from:to], func(conn rueidis.Client) exchange { return prepare(conn, from, to) })
			return nil
		})
	}
	_ = group.Wait() // always nil: errors are in the results
	good := 0
	for _, r := range results {
		if err := errorOf(r); err == nil {
			good++
		} else if first == nil {
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

// chunk performs one exchange within the timeout. If it fails, the error is stored in all of its results.
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
	done := make(chan []rueidis.RedisResult, 1) // buffered, so that an abandoned exchange can end
	go func() {
		done <- work(ctx, *conn)
		<-c.slots // Close waits for the slot
	}()
	select {
	case answers := <-done:
		return answers, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// each sends n commands and returns one result per command.
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
