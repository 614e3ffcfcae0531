package redis

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// subscription describes a channel that is subscribed to permanently.
type subscription struct {
	part    string            // name for Options.OnChange
	channel string            // its hash selects the server
	text    func(text string) // handles a message; must not block, because the connection carries the answers of all callers
	up      func()            // called when the subscription is established, before the first message; may be called repeatedly; must not block
	down    func()            // called when it is lost
}

// subscribe keeps the subscription until ctx ends. It subscribes again after every interruption: a lost connection, a restarted
// server, a migrated slot.
func (c *Client) subscribe(ctx context.Context, s subscription) {
	told := false // OnChange was told that it is down
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		confirmed := make(chan struct{}, 1)
		err := c.listen(ctx, s, true, confirmed)
		if unknownCommand(err) {
			err = c.listen(ctx, s, false, confirmed)
		}
		if ctx.Err() != nil {
			return
		}
		c.stats.unsubscribed.Add(1)
		s.down()
		select {
		case <-confirmed:
			pause = firstPause
			told = false
		default:
		}
		if !told {
			c.opts.OnChange(s.part, interruption(err))
			told = true
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

// receive passes the texts of a channel to handle, one at a time, until ctx ends, and returns the cause.
func (c *Client) receive(ctx context.Context, part, channel string, dropped *atomic.Uint64, handle func(text string)) error {
	queue := make(chan string, 256) // when it is full a batch is dropped; 256 batches of 64 KiB are 16 MiB
	var listener sync.WaitGroup
	defer listener.Wait()
	listener.Go(func() {
		c.subscribe(ctx, subscription{
			part: part, channel: channel, up: func() {}, down: func() {},
			text: func(text string) {
				select {
				case queue <- text:
				default:
					dropped.Add(1)
				}
			},
		})
	})
	for {
		select {
		case text := <-queue:
			handle(text)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// interruption returns a non-nil error: the library returns nil if the server ends the subscription.
func interruption(err error) error {
	if err == nil {
		return away(errEnded)
	}
	return away(err)
}

// listen subscribes once and returns when the subscription ends. Sharded channels (Redis 7) stay on the server of their slot; plain
// channels are forwarded through the whole cluster.
func (c *Client) listen(ctx context.Context, s subscription, sharded bool, confirmed chan<- struct{}) error {
	loaded := c.conn.Load()
	if loaded == nil {
		return errNotConnected
	}
	conn := *loaded
	command := conn.B().Subscribe().Channel(s.channel).Build()
	if sharded {
		command = conn.B().Ssubscribe().Channel(s.channel).Build()
	}
	ctx = rueidis.WithOnSubscriptionHook(ctx, func(e rueidis.PubSubSubscription) {
		if !strings.HasSuffix(e.Kind, "unsubscribe") {
			c.stats.subscribed.Add(1)
			c.opts.OnChange(s.part, nil)
			s.up()
			select {
			case confirmed <- struct{}{}:
			default: // a token is already there
			}
		}
	})
	return conn.Receive(ctx, command, func(m rueidis.PubSubMessage) { s.text(m.Message) })
}

// plainInterval is how long sharded channels are not tried again on servers that did not know them; a server may be upgraded.
const plainInterval = time.Minute

// publish sends texts to the current subscribers of a channel.
func (c *Client) publish(ctx context.Context, op Op, channel string, texts []string) error {
	_, err := c.call(ctx, op, len(texts), func(_ rueidis.Client, from, to int) exchange {
		chunk := texts[from:to:to]
		return func(ctx context.Context, conn rueidis.Client) []rueidis.RedisResult {
			if time.Now().UnixNano() < c.plainUntil.Load() {
				return conn.DoMulti(ctx, plain(conn, channel, chunk)...)
			}
			results := conn.DoMulti(ctx, sharded(conn, channel, chunk)...)
			if unknownCommand(results[0].Error()) {
				c.plainUntil.Store(time.Now().Add(plainInterval).UnixNano())
				return conn.DoMulti(ctx, plain(conn, channel, chunk)...)
			}
			return results
		}
	})
	return err
}

func sharded(conn rueidis.Client, channel string, texts []string) []rueidis.Completed {
	var commands []rueidis.Completed
	for _, text := range texts {
		commands = append(commands, conn.B().Spublish().Channel(channel).Message(text).Build())
	}
	return commands
}

func plain(conn rueidis.Client, channel string, texts []string) []rueidis.Completed {
	var commands []rueidis.Completed
	for _, text := range texts {
		commands = append(commands, conn.B().Publish().Channel(channel).Message(text).Build())
	}
	return commands
}

func unknownCommand(err error) bool {
	if err == nil {
		return false
	}
	answer, ok := rueidis.IsRedisErr(err)
	return ok && strings.HasPrefix(answer.Error(), "unknown command") // the library strips the "ERR "
}
