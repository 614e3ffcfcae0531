package hub

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/auth/credential"
	"github.com/esh3artech/esh3ar/internal/eventfeed"
	"github.com/esh3artech/esh3ar/internal/opaque"
	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
	"github.com/esh3artech/esh3ar/internal/wire"
	"github.com/esh3artech/esh3ar/signalr"
)

// keyCheckInterval is how often a connection verifies its API key again, so that a revocation takes effect within a second.
const keyCheckInterval = 500 * time.Millisecond

// eventsPerWrite bounds the events in one write.
const eventsPerWrite = 64

// feed is the source of status events.
type feed interface {
	Tail(ctx context.Context, business esh3ar.BusinessID) (*eventfeed.Stream, error)
	After(ctx context.Context, business esh3ar.BusinessID, position esh3ar.Position) (*eventfeed.Stream, error)
	Restart(ctx context.Context, business esh3ar.BusinessID) (*eventfeed.Stream, error)
}

// keys authenticates API keys.
type keys interface {
	Authenticate(ctx context.Context, key string) (auth.Caller, error)
}

// Business returns the hub of businesses. A connection gets MessageStatusChanged(event) for events from its start on. As with
// every hub, events start shortly after the client's start has returned; a completed call shows that they have started.
//
// Resume(lastEventId) restarts the stream behind that event. The client first gets Checkpoint(lastEventId) for the position; it
// must ignore events before this checkpoint, because they are sent again in order. Then it gets Reset() if older events have
// expired, and the events, with a Checkpoint after each group. A client that stores the last checkpoint misses no event when
// the connection or the node ends. Resume("") only enables checkpoints: the stream continues and nothing is sent again.
func Business(f feed, k keys, cursors *opaque.Sealer) *signalr.Hub {
	h := signalr.NewHub()
	h.OnConnected = func(c *signalr.Conn) error {
		who := c.Principal().(businessUser) //nolint:forcetypeassert // set by AuthenticateBusiness
		stream, err := f.Tail(c.Context(), who.Business)
		if err != nil {
			return errTryAgain
		}
		w := &watcher{conn: c, keys: k, cursors: cursors, who: who, stream: stream, sent: stream.Position(), done: make(chan struct{})}
		c.SetValue(w)
		go w.run() // ends when the connection's context is cancelled; OnDisconnected waits for it
		return nil
	}
	h.OnDisconnected = func(c *signalr.Conn, _ error) {
		w := watcherOf(c)
		<-w.done // the connection's context is cancelled already
		w.current().Close()
	}
	signalr.On1(h, "Resume", func(c *signalr.Call, lastEventID string) error {
		ctx := c.Context()
		w := watcherOf(c.Conn())
		d := c.Defer()
		completed := func() { d.Return(nil) }
		var err error
		if lastEventID == "" {
			err = w.startCheckpoints(ctx, completed)
		} else {
			err = w.resume(ctx, f, lastEventID, completed)
		}
		if err != nil {
			d.Error(err)
		}
		return nil
	})
	return h
}

func watcherOf(c *signalr.Conn) *watcher { return c.Value().(*watcher) } //nolint:forcetypeassert // set by OnConnected

// businessUser is the caller of a connection and its API key.
type businessUser struct {
	auth.Caller
	key string
}

// AuthenticateBusiness returns a function that verifies an API key. While the store is unavailable, it returns ErrUnavailable,
// so that the client tries again.
func AuthenticateBusiness(k keys) func(*http.Request) (signalr.Identity, error) {
	return func(r *http.Request) (signalr.Identity, error) {
		key, err := credential.HeaderOrQuery(r)
		if err != nil {
			return signalr.Identity{}, err
		}
		caller, err := k.Authenticate(r.Context(), key)
		if err != nil && esh3ar.CodeOf(err) == esh3ar.Unauthenticated {
			return signalr.Identity{}, err
		}
		if err != nil {
			return signalr.Identity{}, fmt.Errorf("%w: %w", signalr.ErrUnavailable, err)
		}
		business := caller.Business.String()
		connlimit.Authenticated(r.Context(), connlimit.Owner{Kind: connlimit.Business, ID: business})
		return signalr.Identity{UserID: business, Device: keyName(key), Principal: businessUser{caller, key}}, nil
	}
}

// keyName returns an identifier of an API key that does not reveal it, for comparisons only.
func keyName(key string) string {
	sum := sha256.Sum256([]byte(key))
	return string(sum[:8])
}

// watcher sends the events of a stream to one connection.
type watcher struct {
	conn         *signalr.Conn
	keys         keys
	who          businessUser
	cursors      *opaque.Sealer // seals the ids of checkpoints
	keyCheckedAt time.Time
	done         chan struct{}

	sending     sync.Mutex      // held while events are sent, and while the stream is replaced
	sent        esh3ar.Position // guarded by sending: position of the last sent event
	checkpoints bool            // guarded by sending: the client has requested checkpoints

	mu     sync.Mutex
	stream *eventfeed.Stream // guarded by mu
}

func (w *watcher) current() *eventfeed.Stream {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stream
}

// startCheckpoints enables checkpoints. Events that were read and not sent yet follow the first checkpoint.
func (w *watcher) startCheckpoints(ctx context.Context, completed func()) error {
	w.sending.Lock()
	defer w.sending.Unlock()
	return w.beginCheckpoints(ctx, completed)
}

// resume restarts the stream behind a position. The first checkpoint and the completion of the call are sent between the last
// event of the old stream and the first of the new one. Otherwise an event of the old stream could overtake events in between.
func (w *watcher) resume(ctx context.Context, f feed, lastEventID string, completed func()) error {
	position, err := w.cursors.Open(opaque.Events, w.who.Business, lastEventID)
	var stream *eventfeed.Stream
	if errors.Is(err, opaque.ErrEarlier) {
		stream, err = f.Restart(ctx, w.who.Business)
	} else if err == nil {
		stream, err = f.After(ctx, w.who.Business, esh3ar.Position(position))
	}
	if err != nil {
		if errors.Is(err, opaque.ErrUnknown) || esh3ar.CodeOf(err) == esh3ar.Invalid {
			return signalr.Errorf("invalid_argument: lastEventId is not an event id of this stream")
		}
		return errTryAgain
	}
	w.sending.Lock()
	defer w.sending.Unlock()
	w.mu.Lock()
	w.stream.Close()
	w.stream = stream
	w.mu.Unlock()
	w.sent = stream.Position()
	return w.beginCheckpoints(ctx, completed)
}

// beginCheckpoints sends the first checkpoint and completes the client's call.
func (w *watcher) beginCheckpoints(ctx context.Context, completed func()) error {
	w.checkpoints = true
	if err := w.sendCheckpoint(ctx); err != nil {
		return err
	}
	completed()
	return nil
}

// run sends events until the connection ends.
func (w *watcher) run() {
	defer close(w.done)
	ctx := w.conn.Context()
	for ctx.Err() == nil && w.keyValid(ctx) {
		stream := w.current()
		batch, err := stream.NextWithin(ctx, keyCheckInterval)
		if err == nil {
			err = w.sendFrom(ctx, stream, &batch)
		}
		if err != nil && stream == w.current() { // if not equal, the client has resumed meanwhile
			w.conn.Close("", true)
			return
		}
	}
}

// keyValid reports whether the API key is still valid, and closes the connection if it was revoked. It verifies the key at most
// every keyCheckInterval. If the store is unavailable, the connection stays open.
func (w *watcher) keyValid(ctx context.Context) bool {
	if time.Since(w.keyCheckedAt) < keyCheckInterval {
		return true
	}
	w.keyCheckedAt = time.Now()
	_, err := w.keys.Authenticate(ctx, w.who.key)
	if err != nil && esh3ar.CodeOf(err) == esh3ar.Unauthenticated {
		w.conn.Close("the API key was revoked", false)
		return false
	}
	return true
}

// sendFrom sends a batch of a stream, unless the client has resumed meanwhile: then the new stream sends these events.
func (w *watcher) sendFrom(ctx context.Context, stream *eventfeed.Stream, b *eventfeed.Batch) error {
	w.sending.Lock()
	defer w.sending.Unlock()
	if stream != w.current() {
		return nil
	}
	return w.send(ctx, b)
}

// send sends a batch in groups. It blocks while the connection's outbox is full.
func (w *watcher) send(ctx context.Context, b *eventfeed.Batch) error {
	if b.Reset {
		if err := w.conn.Send(ctx, "Reset"); err != nil {
			return err
		}
	}
	for rest := b.Entries; len(rest) > 0; {
		group := rest[:min(eventsPerWrite, len(rest))]
		rest = rest[len(group):]
		if err := w.sendGroup(ctx, group); err != nil {
			return err
		}
		w.sent = group[len(group)-1].Position
		if err := w.sendCheckpoint(ctx); err != nil {
			return err
		}
	}
	return nil
}

// sendCheckpoint sends the position of the last sent event if the client has requested checkpoints.
func (w *watcher) sendCheckpoint(ctx context.Context) error {
	if !w.checkpoints {
		return nil
	}
	return w.conn.Send(ctx, "Checkpoint", w.cursors.Seal(opaque.Events, w.who.Business, string(w.sent)))
}

// sendGroup sends one invocation per event in one write.
func (w *watcher) sendGroup(ctx context.Context, entries []esh3ar.LogEntry) error {
	out := newInvocations(w.conn.Protocol())
	defer out.free()
	out.statusChanges(entries)
	if out.err != nil {
		return out.err
	}
	return w.conn.Write(ctx, out.frame())
}

func (w *invocations) statusChanges(entries []esh3ar.LogEntry) {
	for i := range entries {
		w.argument = wire.AppendEvent(w.argument, &entries[i].Event)
		w.invoke("MessageStatusChanged")
	}
}
