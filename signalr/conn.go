package signalr

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is one client's connection. All its methods may be called from any goroutine, also after its end.
type Conn struct {
	server *Server
	id     string
	who    person
	remote netip.AddrPort
	place  place
	owner  *owner                 // set by the registry, with the connection's place in it; nil without a user
	more   atomic.Pointer[extras] // nil: none

	proto protocol // set by the handshake, before the connection is shown to anybody
	link  link     // under out.mu; it changes only where state is not nil
	state *stateful
	in    dispatcher
	out   outbox
	life  life
	times stamps
	value struct {
		sync.Mutex
		v any
	}
}

// person is an [Identity] without its end, which later requests may move.
type person struct {
	UserID    string
	Principal any
}

// stamps are moments on the scale of [Now].
type stamps struct {
	received atomic.Int64 // last bytes of hub messages from the client
	sent     atomic.Int64 // last message queued for it; as exact as the heartbeat
	busy     atomic.Int64 // last heartbeat at which input waited for a slot, or the process had been paused
	expires  atomic.Int64 // of the latest credential, in nanoseconds since 1970; 0: never
}

// Server returns the connection's server.
func (c *Conn) Server() *Server { return c.server }

// ID returns the connection's public id: 22 characters, unique, no secret. (Clients of old have no token besides it. Theirs
// begins with Options.Node.)
func (c *Conn) ID() string { return c.id }

// UserID returns the user id that Authenticate gave, "" for nobody in particular.
func (c *Conn) UserID() string { return c.who.UserID }

// Principal returns what Authenticate gave.
func (c *Conn) Principal() any { return c.who.Principal }

// RemoteAddr returns the address of the peer of the socket, invalid when it is not an IP address.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.remote }

// Protocol returns the name of the hub protocol, "json" or "messagepack".
func (c *Conn) Protocol() string { return c.proto.name() }

// Transport returns the name of the transport: "WebSockets", "ServerSentEvents" or "LongPolling".
func (c *Conn) Transport() string { return c.transport().kind().String() }

func (c *Conn) transport() link {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.link
}

// Request returns the request that opened the connection, without its body, if Options.KeepRequest is set; nil if not. Its
// URL and headers may hold credentials: keep them out of logs.
func (c *Conn) Request() *http.Request {
	r := c.existing().request
	if r == nil && !c.server.opts.KeepRequest {
		c.server.once(&c.server.said.noRequest, "Conn.Request returns nil, because requests are not kept; set Options.KeepRequest")
	}
	return r
}

// kept returns what of a request may outlive it.
func kept(r *http.Request) *http.Request {
	return &http.Request{
		Method: r.Method, URL: r.URL, Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor,
		Header: r.Header, Host: r.Host, RemoteAddr: r.RemoteAddr, RequestURI: r.RequestURI, TLS: r.TLS, Body: http.NoBody,
	}
}

// Value returns what SetValue stored, nil before.
func (c *Conn) Value() any {
	c.value.Lock()
	defer c.value.Unlock()
	return c.value.v
}

// SetValue stores the application's own data of this connection.
func (c *Conn) SetValue(v any) {
	c.value.Lock()
	defer c.value.Unlock()
	c.value.v = v
}

// LastReceived returns when bytes of hub messages last came from the client, on the scale of [Now]. It is taken after they were read, so
// a value above a Now() taken after a write means that the client's bytes were read after that write.
func (c *Conn) LastReceived() int64 { return c.times.received.Load() }

// heard notes that bytes of the hub stream have come. Empty frames, pings and pongs of a WebSocket are none: network code sends
// them for an application that has long been frozen.
func (c *Conn) heard() { c.times.received.Store(c.server.time()) }

// renew notes the credential of the latest request: the connection ends with it.
func (c *Conn) renew(who Identity) {
	var expires int64
	if !who.Expires.IsZero() {
		expires = who.Expires.UnixNano()
	}
	c.times.expires.Store(expires)
}

// expired reports whether the latest credential is no longer good.
func (c *Conn) expired() bool {
	expires := c.times.expires.Load()
	return expires != 0 && time.Now().UnixNano() >= expires
}

// Context returns a context that ends with the connection. It is made at the first call; connections of applications
// that never ask do not pay for it.
func (c *Conn) Context() context.Context { return c.life.context() }

// Send encodes an invocation of the client's method and queues it, waiting while the outbox is full. It returns the
// context's error, [ErrClosed], or what encoding the arguments failed with. Queued means neither sent nor received.
func (c *Conn) Send(ctx context.Context, target string, args ...any) error {
	f, err := encodeFor(c.proto, target, args)
	if err != nil {
		return err
	}
	return c.Write(ctx, f)
}

// TrySend is Send that answers [ErrFull] instead of waiting.
func (c *Conn) TrySend(target string, args ...any) error {
	f, err := encodeFor(c.proto, target, args)
	if err != nil {
		return err
	}
	return c.TryWrite(f)
}

// TryWrite queues frames to leave together, all or none, and never blocks. It answers [ErrFull] when the outbox has no
// room for all of them (unless Options.Slow says otherwise), [ErrClosed] when the connection is closing. The frames' bytes
// are copied before it returns.
func (c *Conn) TryWrite(frames ...Frame) error { return c.out.writeOr(frames, c.server.opts.Slow) }

// Write is TryWrite that waits for room.
func (c *Conn) Write(ctx context.Context, frames ...Frame) error {
	for {
		err := c.out.write(frames)
		if err != ErrFull { //nolint:errorlint // our own, never wrapped
			return err
		}
		select {
		case <-c.out.roomChan():
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Pending returns how many bytes wait in the outbox.
func (c *Conn) Pending() int { return c.out.pending() }

func encodeFor(p protocol, target string, args []any) (f Frame, err error) {
	f.encoded[p.index()], err = p.appendInvocation(nil, target, args)
	return f, err
}
