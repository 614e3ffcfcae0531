package redis

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// subscription is one channel that is listened to, again and again.
type subscription struct {
	part    string            // for Options.OnChange
	channel string            // its hash decides on which server it lives
	text    func(text string) // each message; must not block: a connection carries the answers of everybody
	up      func()            // it is in force, before its first message; may be called again while it is; must not block
	down    func()            // it is not any more
}

// subscribe listens until ctx ends and finds its way back after every interruption: a lost connection, a server that
// restarts, a slot that moves away.
func (c *Client) subscribe(ctx context.Context, s subscription) {
	told := false // OnChange knows that it is down
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
			pause, told = firstPause, false
		default:
		}
		if !told {
			c.opts.OnChange(s.part, interruption(err))
			told = true
		}
		if !rest(ctx, pause) {
			return
		}
	}
}

// receive gives the texts of a channel to handle, one at a time, until ctx ends, and returns why that ended.
func (c *Client) receive(ctx context.Context, part, channel string, dropped *atomic.Uint64, handle func(text string)) error {
	queue := make(chan string, 256) // full: a batch is dropped; with batches of 64 KiB these are 16 MiB
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

// interruption is never nil: the library gives none when a server ends the subscription.
func interruption(err error) error {
	if err == nil {
		return away(errEnded)
	}
	return away(err)
}

// listen subscribes once and returns when that ends. Sharded channels (Redis 7) stay with the server of their slot; plain
// ones go around the whole cluster.
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
			default: // noted already
			}
		}
	})
	return conn.Receive(ctx, command, func(m rueidis.PubSubMessage) { s.text(m.Message) })
}

// plainFor is how long a server that knew no sharded channels is not asked for them again: it may be replaced by a newer.
const plainFor = time.Minute

// publish sends texts to who listens on a channel now.
func (c *Client) publish(ctx context.Context, op Op, channel string, texts []string) error {
	_, err := c.call(ctx, op, len(texts), func(_ rueidis.Client, from, to int) exchange {
		chunk := texts[from:to:to]
		return func(ctx context.Context, conn rueidis.Client) []rueidis.RedisResult {
			if time.Now().UnixNano() < c.plainUntil.Load() {
				return conn.DoMulti(ctx, plain(conn, channel, chunk)...)
			}
			results := conn.DoMulti(ctx, sharded(conn, channel, chunk)...)
			if unknownCommand(results[0].Error()) {
				c.plainUntil.Store(time.Now().Add(plainFor).UnixNano())
				return conn.DoMulti(ctx, plain(conn, channel, chunk)...)
			}
			return results
		}
	})
	return err
}

func sharded(conn rueidis.Client, channel string, texts []string) (commands []rueidis.Completed) {
	for _, text := range texts {
		commands = append(commands, conn.B().Spublish().Channel(channel).Message(text).Build())
	}
	return commands
}

func plain(conn rueidis.Client, channel string, texts []string) (commands []rueidis.Completed) {
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
	return ok && strings.HasPrefix(answer.Error(), "unknown command") // the library cuts the ERR off
}
