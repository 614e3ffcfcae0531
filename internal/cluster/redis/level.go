package redis

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// Level is the second level of the cache: values that all nodes share, and texts that say which of them are not good any
// more. Both are sealed. A writer of Redis can put back a value of before, until the time to live that it was sealed with.
//
// # What is kept on this side
//
// Values that were read stay in this process for a while, and each server tells each connection when one of them has
// changed. That alone can be too late: the text "k has changed" comes over the connection of the channel's server, the
// word on k itself over that of k's server, and who drops k at the text and reads it again would be given what lies here
// still, and keep it. So a text makes this side distrust everything it keeps: reads go to the servers until each
// connection has answered a question that was asked after the text. A server says what has changed before it answers,
// on the same connection, and there is one for each server. While there is no subscription, nothing kept here is used.
type Level struct {
	client  *Client
	changes atomic.Uint64 // texts and interruptions so far
	settled atomic.Uint64 // changes that every connection has caught up with
	up      atomic.Bool   // the subscription is in force
}

// Level is the second level of the cache.
func (c *Client) Level() *Level {
	l := &Level{client: c}
	l.changes.Store(1)
	return l
}

// keepHere is how long a value stays on this side at most; the servers' word ends it earlier.
const keepHere = 10 * time.Second

func (l *Level) key(key string) string { return l.client.opts.Prefix + "c:" + key }

func (l *Level) channel() string { return l.client.opts.Prefix + "{invalidations}" }

func (l *Level) trusted() bool { return l.up.Load() && l.settled.Load() == l.changes.Load() }

// GetMany gives the value of each key, in the order asked; nil: there is none. With an error it still gives what could be
// found.
func (l *Level) GetMany(ctx context.Context, keys []string) ([][]byte, error) {
	if l.client.seals.values == nil {
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
			continue // or failed, and that is in err
		}
		value, err := l.client.seals.values.OpenStored(keys[i], []byte(text)) // a copy: the caller's to change
		if err != nil {
			l.client.refuse(partValues, err)
			continue // as if it were not there
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

// SetMany stores one value for each key, for at most the time of the same place.
func (l *Level) SetMany(ctx context.Context, keys []string, values [][]byte, ttls []time.Duration) error {
	if len(values) != len(keys) || len(ttls) != len(keys) {
		return fmt.Errorf("write cache: %d keys, %d values, %d times to live", len(keys), len(values), len(ttls))
	}
	if l.client.seals.values == nil {
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
		sealed := l.client.seals.values.SealUntil(nil, keys[i], values[i], now.Add(ttls[i]))
		return b.Set().Key(l.key(keys[i])).Value(string(sealed)).PxMilliseconds(ttl).Build()
	})
	return err
}

// Delete removes keys; when it returns nil, this node's reads do not find them either.
func (l *Level) Delete(ctx context.Context, keys []string) error {
	// Each key is asked for afterwards: the answer to that comes behind the server's word that the key has changed, which
	// comes behind the answer to the delete.
	_, err := l.client.each(ctx, opCacheDelete, 2*len(keys), func(b rueidis.Builder, i int) rueidis.Completed {
		if key := l.key(keys[i/2]); i%2 == 0 {
			return b.Del().Key(key).Build()
		} else {
			return b.Exists().Key(key).Build()
		}
	})
	return err
}

// Publish hands a text to every node that subscribes now, this one too.
func (l *Level) Publish(ctx context.Context, text string) error {
	if l.client.seals.invalidations == nil {
		return errNoKeys
	}
	frame := l.client.seals.invalidations.Seal(nil, l.channel(), []byte(text))
	return l.client.publish(ctx, opInvalidate, l.channel(), []string{string(frame)})
}

// Subscribe calls on for each text, one at a time, until ctx ends, and finds its way back by itself. It calls lost whenever
// texts may have been missed: each time the subscription has come into force, the first time too, and as soon as it is
// known to be broken.
func (l *Level) Subscribe(ctx context.Context, on func(text string), lost func()) error {
	if l.client.seals.invalidations == nil {
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
				if text, ok := l.client.open(partInvalidations, l.client.seals.invalidations, l.channel(), frame); ok {
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

// note counts.
func (l *Level) note(missed bool) {
	if missed {
		l.client.stats.invalidationsLost.Add(1)
	} else {
		l.client.stats.invalidations.Add(1)
	}
}

// news is what was heard and not told yet.
type news struct {
	texts  chan string   // full: the text is dropped, and told as missed
	missed chan struct{} // something may have been missed
}

// add tells whether the text was missed.
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
	default: // told anyway, and later than now
	}
	return true
}

// tell hands the news on. What was missed goes first: it may have come before any text.
func (l *Level) tell(ctx context.Context, news *news, on func(text string), lost func()) error {
	settle := time.NewTicker(lastPause) // while a server does not answer
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

// settle asks every connection, and trusts what is kept here when all have answered, and nothing came meanwhile.
func (l *Level) settle(ctx context.Context) {
	changes := l.changes.Load()
	if !l.up.Load() || l.settled.Load() == changes {
		return
	}
	if l.client.caughtUp(ctx) {
		l.settled.Store(changes)
	}
}
