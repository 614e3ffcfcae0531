package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

// consumer is a business that listens to events for the whole run. It comes back after each end of its connection, to
// any node, and names the last position that it was told, so it must see everything: at least once, and first sightings in order.
type consumer struct {
	*run
	name   string
	random *rand.Rand
	at     *target                                                // of the connection
	listen func(ctx context.Context, c *consumer, conn int) error // one connection; the error of a refusal is a refusalError

	mu       sync.Mutex
	position string // where to resume; empty: nowhere yet
}

// refusalError is a refusal that coming back does not change.
type refusalError struct {
	path string
	text string
}

func (e *refusalError) Error() string { return fmt.Sprintf("%s: %s", e.path, e.text) }

func (r *run) newConsumers() []*consumer {
	sse := func(p func(ctx context.Context, c *consumer) pace) func(context.Context, *consumer, int) error {
		return func(ctx context.Context, c *consumer, conn int) error { return c.listenSSE(ctx, conn, p(ctx, c)) }
	}
	list := []*consumer{
		{name: "sse", listen: sse(func(context.Context, *consumer) pace { return pace{} })},
		{name: "sse-fickle", listen: sse(func(_ context.Context, c *consumer) pace { return pace{drop: 1 + c.random.IntN(200)} })},
		{name: "sse-sluggish", listen: sse(sluggish)},
		{name: "hub", listen: func(ctx context.Context, c *consumer, conn int) error { return c.listenHub(ctx, conn) }},
	}
	for i, c := range list {
		c.run, c.random = r, r.stream(100+i)
	}
	return list
}

// sluggish stops reading for longer than a busy node can keep its events in mind for it.
func sluggish(ctx context.Context, c *consumer) pace {
	return pace{naps: 2000, sleep: func() error { return sleep(ctx, between(c.random, time.Second, 3*time.Second)) }}
}

// watch listens until ctx ends, or the node refuses for good.
func (c *consumer) watch(ctx context.Context) error {
	for ctx.Err() == nil {
		c.at = c.fleet.some(ctx, c.random)
		err := c.listen(ctx, c, int(c.conns.Add(1)))
		if refusal, ok := err.(*refusalError); ok { //nolint:errorlint // made by listen itself
			return fmt.Errorf("consumer %s: %w", c.name, refusal)
		}
		if sleep(ctx, between(c.random, 10*time.Millisecond, 60*time.Millisecond)) != nil {
			return nil
		}
	}
	return nil
}

func (c *consumer) resumeFrom() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.position
}

func (c *consumer) reached(position string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.position = position
}

var errForgotten = errors.New("the position is not known any more")

// forgotten notes that a position which this consumer was told is not one of the log: it has gone back, and what was seen is gone.
func (c *consumer) forgotten(conn int) error {
	c.ledger.note(checker.Entry{Kind: checker.Reset, Consumer: c.name, Conn: conn})
	c.reached("")
	return errForgotten
}

// event is a status change as every consumer is told of it.
type event struct {
	MessageID     string    `json:"messageId"`
	Version       int       `json:"version"`
	Life          int       `json:"life"`
	Status        string    `json:"status"`
	OccurredAt    time.Time `json:"occurredAt"`
	Attempt       int       `json:"attempt"`
	CorrelationID string    `json:"correlationId"`
}

func (e *event) mark() checker.Mark {
	return checker.Mark{Version: e.Version, Life: e.Life, Status: e.Status, Attempt: e.Attempt, At: e.OccurredAt.UnixNano()}
}

// sees notes an event.
func (c *consumer) sees(conn int, position string, data []byte) error {
	var e event
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("event %.200q: %w", data, err)
	}
	number, _ := strconv.Atoi(e.CorrelationID) // our own are numbers; 0 would be found as never sent
	c.ledger.note(checker.Entry{
		Kind: checker.Seen, Consumer: c.name, Conn: conn, Position: position, Number: number, ID: e.MessageID,
		Version: e.Version, Life: e.Life, Status: e.Status, Attempt: e.Attempt, At: e.OccurredAt.UnixNano(),
	})
	return nil
}
