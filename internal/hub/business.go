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

// keyLook is how often a connection looks whether its key still stands: a revoked one is in force within a second.
const keyLook = 500 * time.Millisecond

// eventGroup is how many events leave in one write.
const eventGroup = 64

// feed is where status changes come from.
type feed interface {
	Tail(ctx context.Context, business esh3ar.BusinessID) (*eventfeed.Stream, error)
	After(ctx context.Context, business esh3ar.BusinessID, position esh3ar.Position) (*eventfeed.Stream, error)
	Restart(ctx context.Context, business esh3ar.BusinessID) (*eventfeed.Stream, error)
}

// keys tells whose key it is.
type keys interface {
	Authenticate(ctx context.Context, key string) (auth.Caller, error)
}

// Business makes the hub of the businesses. A connection gets MessageStatusChanged(event) for what happens from then on.
// It begins a moment after the client's start has ended, as every hub does: a call is answered when it has.
// A client that calls Resume(lastEventId) is begun with anew from there. First it gets Checkpoint(lastEventId) of where it
// begins: what comes before that is from before the call, and the client passes over it, as it comes again in its place.
// Then it gets Reset() if older events are gone, and the events, with a Checkpoint behind each group: a client that keeps
// the last one misses nothing, whatever ends the connection or the node. Resume("") asks for the checkpoints alone: the
// connection goes on where it is, nothing comes again, and nothing is to be passed over.
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
		go w.run() // ends with the connection; OnDisconnected waits for it
		return nil
	}
	h.OnDisconnected = func(c *signalr.Conn, _ error) {
		w := watcherOf(c)
		<-w.done // its connection's context has ended
		w.current().Close()
	}
	signalr.On1(h, "Resume", func(c *signalr.Call, lastEventID string) error {
		ctx, w, d := c.Context(), watcherOf(c.Conn()), c.Defer()
		completed := func() { d.Return(nil) }
		var err error
		if lastEventID == "" {
			err = w.goOn(ctx, completed)
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

// businessUser is who is connected, and with which key.
type businessUser struct {
	auth.Caller
	key string
}

// AuthenticateBusiness reads an API key. While the store cannot say whose it is, the client is asked to come again.
func AuthenticateBusiness(k keys) func(*http.Request) (signalr.Identity, error) {
	return func(r *http.Request) (signalr.Identity, error) {
		key, err := credential.HeaderOrQuery(r)
		if err != nil {
			return signalr.Identity{}, err
		}
		caller, err := k.Authenticate(r.Context(), key)
		switch {
		case err != nil && esh3ar.CodeOf(err) == esh3ar.Unauthenticated:
			return signalr.Identity{}, err
		case err != nil:
			return signalr.Identity{}, fmt.Errorf("%w: %w", signalr.ErrUnavailable, err)
		}
		business := caller.Business.String()
		connlimit.Authenticated(r.Context(), connlimit.Owner{Kind: connlimit.Business, ID: business})
		return signalr.Identity{UserID: business, Device: keyName(key), Principal: businessUser{caller, key}}, nil
	}
}

// keyName names an API key without holding it: for comparisons only.
func keyName(key string) string {
	sum := sha256.Sum256([]byte(key))
	return string(sum[:8])
}

// watcher sends one connection what its stream gives.
type watcher struct {
	conn    *signalr.Conn
	keys    keys
	who     businessUser
	cursors *opaque.Sealer // of the ids of checkpoints
	looked  time.Time
	done    chan struct{}

	sending sync.Mutex      // held while events of one stream go out, and while the streams change
	sent    esh3ar.Position // guarded by sending: everything up to it has gone out
	marks   bool            // guarded by sending: the client wants checkpoints

	mu     sync.Mutex
	stream *eventfeed.Stream // guarded by mu
}

func (w *watcher) current() *eventfeed.Stream {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stream
}

// goOn gives checkpoints from here on. What the stream has given and has not gone out yet comes behind the first one.
func (w *watcher) goOn(ctx context.Context, completed func()) error {
	w.sending.Lock()
	defer w.sending.Unlock()
	return w.begin(ctx, completed)
}

// resume begins anew behind a position. The first checkpoint and the completion of the call go out between the last event
// of the old stream and the first of the new one: else an event of the old one could overtake what lies between.
func (w *watcher) resume(ctx context.Context, f feed, lastEventID string, completed func()) error {
	position, err := w.cursors.Open(opaque.Events, w.who.Business, lastEventID)
	var stream *eventfeed.Stream
	switch {
	case errors.Is(err, opaque.ErrEarlier):
		stream, err = f.Restart(ctx, w.who.Business)
	case err == nil:
		stream, err = f.After(ctx, w.who.Business, esh3ar.Position(position))
	}
	if err != nil {
		if errors.Is(err, opaque.ErrUnknown) || esh3ar.CodeOf(err) == esh3ar.Invalid {
			return signalr.Errorf("invalid_argument: lastEventId is not one of this stream")
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
	return w.begin(ctx, completed)
}

// begin says from where a client gets checkpoints, and ends its call.
func (w *watcher) begin(ctx context.Context, completed func()) error {
	w.marks = true
	if err := w.mark(ctx); err != nil {
		return err
	}
	completed()
	return nil
}

// run sends until the connection has ended.
func (w *watcher) run() {
	defer close(w.done)
	ctx := w.conn.Context()
	for ctx.Err() == nil && w.stands(ctx) {
		stream := w.current()
		batch, err := stream.NextWithin(ctx, keyLook)
		if err == nil {
			err = w.sendOf(ctx, stream, &batch)
		}
		if err != nil && stream == w.current() { // else the client has resumed meanwhile
			w.conn.Close("", true)
			return
		}
	}
}

// stands tells, now and then, whether the key still does, and ends the connection if not. A store that cannot say ends
// nothing.
func (w *watcher) stands(ctx context.Context) bool {
	if time.Since(w.looked) < keyLook {
		return true
	}
	w.looked = time.Now()
	_, err := w.keys.Authenticate(ctx, w.who.key)
	if err != nil && esh3ar.CodeOf(err) == esh3ar.Unauthenticated {
		w.conn.Close("the API key was revoked", false)
		return false
	}
	return true
}

// sendOf sends what a stream gave, unless the client has resumed meanwhile: then the new one gives it in its place.
func (w *watcher) sendOf(ctx context.Context, stream *eventfeed.Stream, b *eventfeed.Batch) error {
	w.sending.Lock()
	defer w.sending.Unlock()
	if stream != w.current() {
		return nil
	}
	return w.send(ctx, b)
}

// send writes a batch in groups, waiting while the connection is full.
func (w *watcher) send(ctx context.Context, b *eventfeed.Batch) error {
	if b.Reset {
		if err := w.conn.Send(ctx, "Reset"); err != nil {
			return err
		}
	}
	for rest := b.Entries; len(rest) > 0; {
		group := rest[:min(eventGroup, len(rest))]
		rest = rest[len(group):]
		if err := w.sendGroup(ctx, group); err != nil {
			return err
		}
		w.sent = group[len(group)-1].Position
		if err := w.mark(ctx); err != nil {
			return err
		}
	}
	return nil
}

// mark sends a client that resumes a checkpoint of what has gone out.
func (w *watcher) mark(ctx context.Context) error {
	if !w.marks {
		return nil
	}
	return w.conn.Send(ctx, "Checkpoint", w.cursors.Seal(opaque.Events, w.who.Business, string(w.sent)))
}

// sendGroup writes one invocation per event, all at once.
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
