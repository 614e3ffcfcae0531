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

// consumer is a business that reads events during the whole run. It reconnects to any node after each disconnect and
// resumes from its last position. So it must see every event at least once, with first sightings in order.
type consumer struct {
	*run
	name   string
	random *rand.Rand
	at     *target                                                // node of the connection
	listen func(ctx context.Context, c *consumer, conn int) error // runs one connection; returns a *refusalError if a retry cannot succeed

	mu       sync.Mutex
	position string // resume position; empty before the first event
}

// refusalError is a refusal that a retry cannot change.
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

// sluggish returns a pace whose pauses exceed the time for which a busy node buffers events for a reader.
func sluggish(ctx context.Context, c *consumer) pace {
	return pace{naps: 2000, sleep: func() error { return sleep(ctx, between(c.random, time.Second, 3*time.Second)) }}
}

// watch reconnects until ctx ends or a node refuses permanently.
func (c *consumer) watch(ctx context.Context) error {
	for ctx.Err() == nil {
		c.at = c.fleet.randomNode(ctx, c.random)
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

func (c *consumer) setPosition(position string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.position = position
}

var errPositionLost = errors.New("the node rejected a resume position that it issued")

// positionLost records that a node rejected a position that it had issued: the event log lost entries.
func (c *consumer) positionLost(conn int) error {
	c.ledger.note(checker.Entry{Kind: checker.Reset, Consumer: c.name, Conn: conn})
	c.setPosition("")
	return errPositionLost
}

// event is a status change as consumers receive it.
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

// recordEvent records one received event.
func (c *consumer) recordEvent(conn int, position string, data []byte) error {
	var e event
	if err := json.Unmarshal(data, &e); err != nil {
		return fmt.Errorf("event %.200q: %w", data, err)
	}
	number, _ := strconv.Atoi(e.CorrelationID) // 0 if malformed, which no message has
	c.ledger.note(checker.Entry{
		Kind: checker.Seen, Consumer: c.name, Conn: conn, Position: position, Number: number, ID: e.MessageID,
		Version: e.Version, Life: e.Life, Status: e.Status, Attempt: e.Attempt, At: e.OccurredAt.UnixNano(),
	})
	return nil
}
