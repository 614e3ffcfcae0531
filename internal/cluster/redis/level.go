package redis

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// Level implements cache.Level: values that all nodes share, and texts that say which of them are invalid. Both are sealed. An
// attacker with write access to Redis can restore an earlier value until the expiry that it was sealed with.
//
// # Client-side cache
//
// Values that were read stay in this process for a while, and each server notifies each connection when one of them changes. That
// notification alone can be too late: the text "k has changed" arrives on the connection of the channel's server, the notification
// for k on the connection of k's server. A reader that drops k at the text and reads it again could get the old value from the
// client-side cache, and cache it. So a text suspends the client-side cache: reads go to the servers until each connection has
// answered a PING that was sent after the text. A server sends its notifications before that answer, on the same connection, and
// there is one connection per server. Without a subscription the client-side cache is not used.
type Level struct {
	client  *Client
	changes atomic.Uint64 // number of texts and interruptions so far
	settled atomic.Uint64 // number of them that every connection has caught up with
	up      atomic.Bool   // the subscription is established
}

// Level returns the second level of the cache.
func (c *Client) Level() *Level {
	l := &Level{client: c}
	l.changes.Store(1)
	return l
}

// keepHere bounds how long a value stays in the client-side cache; a notification of its server removes it earlier.
const keepHere = 10 * time.Second

func (l *Level) key(key string) string { return l.client.opts.Prefix + "c:" + key }

func (l *Level) channel() string { return l.client.opts.Prefix + "{invalidations}" }

func (l *Level) trusted() bool { return l.up.Load() && l.settled.Load() == l.changes.Load() }

// GetMany returns the value of each key in the order of keys, nil if there is none. Together with an error it returns the values
// that could be read.
func (l *Level) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	if l.client.sealers.values == nil {
		return make([][]byte, len(keys)), errNoKeys
	}
	read := l.read
	if l.trusted() {
		read = l.readHere
	}
	results, err := read(ctx, keys)
	values := make([][]byte, len(keys))
	for i, r := range results {
		text, absent := r.ToString()
		if absent != nil {
			continue // or the read failed, which is in err
		}
		value, err := l.client.sealers.values.OpenStored(keys[i], []byte(text)) // a copy, which the caller may modify
		if err != nil {
			l.client.reject(partValues, err)
			continue // treated as missing
		}
		values[i] = value
		if r.IsCacheHit() {
			l.client.stats.cacheHere.Add(1)
		}
	}
	return values, err
}

func (l *Level) read(ctx context.Context, keys []string) ([]rueidis.RedisResult, error) {
	return l.client.each(ctx, opCacheRead, len(keys), func(b rueidis.Builder, i int) rueidis.Completed {
		return b.Get().Key(l.key(keys[i])).Build()
	})
}

func (l *Level) readHere(ctx context.Context, keys []string) ([]rueidis.RedisResult, error) {
	return l.client.call(ctx, opCacheRead, len(keys), func(conn rueidis.Client, from, to int) exchange {
		commands := make([]rueidis.CacheableTTL, 0, to-from)
		for _, key := range keys[from:to] {
			commands = append(commands, rueidis.CT(conn.B().Get().Key(l.key(key)).Cache(), keepHere))
		}
		return func(ctx context.Context, conn rueidis.Client) []rueidis.RedisResult {
			return conn.DoMultiCache(ctx, commands...)
		}
	})
}

// SetMany stores one value per key for at most the TTL with the same index.
func (l *Level) SetMany(ctx context.Context, keys []string, values [][]byte, ttls []time.Duration) error {
	if len(values) != len(keys) || len(ttls) != len(keys) {
		return fmt.Errorf("write cache: %d keys, %d values, %d times to live", len(keys), len(values), len(ttls))
	}
	if l.client.sealers.values == nil {
		return errNoKeys
	}
	for i, ttl := range ttls {
		if ttl <= 0 {
			return fmt.Errorf("write cache: key %q: the time to live is %s", keys[i], ttl)
		}
	}
	now := time.Now()
	_, err := l.client.each(ctx, opCacheWrite, len(keys), func(b rueidis.Builder, i int) rueidis.Completed {
		ttl := max(1, ttls[i].Milliseconds())
		sealed := l.client.sealers.values.SealUntil(nil, keys[i], values[i], now.Add(ttls[i]))
		return b.Set().Key(l.key(keys[i])).Value(string(sealed)).PxMilliseconds(ttl).Build()
	})
	return err
}

// Delete removes keys. When it returns nil, reads on this node no longer find them.
func (l *Level) Delete(ctx context.Context, keys []string) error {
	// Read each key afterwards: the answer arrives after the server's notification that the key has changed, which arrives after
	// the answer to the delete.
	_, err := l.client.each(ctx, opCacheDelete, 2*len(keys), func(b rueidis.Builder, i int) rueidis.Completed {
		if key := l.key(keys[i/2]); i%2 == 0 {
			return b.Del().Key(key).Build()
		} else {
			return b.Exists().Key(key).Build()
		}
	})
	return err
}

// Publish sends a text to every node that is subscribed now, including this one.
func (l *Level) Publish(ctx context.Context, text string) error {
	if l.client.sealers.invalidations == nil {
		return errNoKeys
	}
	frame := l.client.sealers.invalidations.Seal(nil, l.channel(), []byte(text))
	return l.client.publish(ctx, opInvalidate, l.channel(), []string{string(frame)})
}

// Subscribe calls on for each text, one at a time, until ctx ends, and reconnects after failures. It calls lost whenever texts may
// have been missed: each time the subscription is established, including the first time, and as soon as it is known to be broken.
func (l *Level) Subscribe(ctx context.Context, on func(text string), lost func()) error {
	if l.client.sealers.invalidations == nil {
		return errNoKeys
	}
	news := &news{texts: make(chan string, 1024), missed: make(chan struct{}, 1)}
	var listener sync.WaitGroup
	defer listener.Wait()
	defer l.up.Store(false)
	listener.Go(func() {
		l.client.subscribe(ctx, subscription{
			part: "invalidations", channel: l.channel(),
			text: func(frame string) {
				if text, ok := l.client.open(partInvalidations, l.client.sealers.invalidations, l.channel(), frame); ok {
					l.changes.Add(1)
					l.note(news.add(string(text)))
				}
			},
			up:   func() { l.changes.Add(1); l.up.Store(true); l.note(news.miss()) },
			down: func() { l.up.Store(false); l.changes.Add(1); l.note(news.miss()) },
		})
	})
	return l.tell(ctx, news, on, lost)
}

// note counts a text or an interruption.
func (l *Level) note(missed bool) {
	if missed {
		l.client.stats.invalidationsLost.Add(1)
	} else {
		l.client.stats.invalidations.Add(1)
	}
}

// news is a queue of received texts.
type news struct {
	texts  chan string   // when it is full, the text is dropped and reported as missed
	missed chan struct{} // capacity 1; a token means that texts may have been missed
}

// add reports whether the text was dropped.
func (n *news) add(text string) (missed bool) {
	select {
	case n.texts <- text:
		return false
	default:
		return n.miss()
	}
}

func (n *news) miss() (missed bool) {
	select {
	case n.missed <- struct{}{}:
	default: // a token is already there, and is handled later than now
	}
	return true
}

// tell passes on the queued texts. A loss is reported first, because it may have happened before any of the texts.
func (l *Level) tell(ctx context.Context, news *news, on func(text string), lost func()) error {
	settle := time.NewTicker(lastPause) // retries while a server does not answer
	defer settle.Stop()
	for {
		select {
		case <-news.missed:
			lost()
		default:
			select {
			case <-news.missed:
				lost()
			case text := <-news.texts:
				on(text)
			case <-settle.C:
			case <-ctx.Done():
				return fmt.Errorf("subscribe to invalidations: %w", context.Cause(ctx))
			}
		}
		if len(news.texts) == 0 {
			l.settle(ctx)
		}
	}
}

// settle sends a PING on every connection, and enables the client-side cache when all have answered and nothing has arrived
// meanwhile.
func (l *Level) settle(ctx context.Context) {
	changes := l.changes.Load()
	if !l.up.Load() || l.settled.Load() == changes {
		return
	}
	if l.client.caughtUp(ctx) {
		l.settled.Store(changes)
	}
}
