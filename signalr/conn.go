package signalr

import (
	"context"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Conn is the connection of one client. Its methods may be called from any goroutine, even after the connection has ended.
type Conn struct {
	server *Server
	id     string
	who    identity
	remote netip.AddrPort
	place  place
	owner  *owner                 // set by the registry, with the connection's place in it; nil without a user
	more   atomic.Pointer[extras] // rarely used state; nil until needed

	proto protocol // set by the handshake, before the connection becomes visible to others
	link  link     // guarded by out.mu; changes only if state is not nil
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

// identity is an [Identity] without its expiry, which later requests may change.
type identity struct {
	UserID    string
	Principal any
}

// stamps are the times of events of a connection, on the scale of [Now].
type stamps struct {
	received atomic.Int64 // last bytes of hub messages from the client
	sent     atomic.Int64 // last message queued for the client, with the resolution of the heartbeat
	busy     atomic.Int64 // last heartbeat at which input waited for a slot, or before which the process was paused
	expires  atomic.Int64 // expiry of the latest credential, in nanoseconds since 1970; 0: never
}

// Server returns the connection's server.
func (c *Conn) Server() *Server { return c.server }

// ID returns the connection's id: 22 characters, unique, not a secret. The exception are clients of negotiate version 0:
// their id is also their connection token and begins with Options.Node.
func (c *Conn) ID() string { return c.id }

// UserID returns the user id from Options.Authenticate, "" if the client is anonymous.
func (c *Conn) UserID() string { return c.who.UserID }

// Principal returns the principal from Options.Authenticate.
func (c *Conn) Principal() any { return c.who.Principal }

// RemoteAddr returns the address of the socket's peer. It is not valid if the peer has no IP address.
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

// Request returns the request that opened the connection, without its body. It returns nil unless Options.KeepRequest is
// set. The URL and the headers may contain credentials: do not log them.
func (c *Conn) Request() *http.Request {
	r := c.existing().request
	if r == nil && !c.server.opts.KeepRequest {
		c.server.once(&c.server.said.noRequest, "Conn.Request returns nil, because requests are not kept; set Options.KeepRequest")
	}
	return r
}

// kept returns a copy of a request with the parts that may outlive it.
func kept(r *http.Request) *http.Request {
	return &http.Request{
		Method: r.Method, URL: r.URL, Proto: r.Proto, ProtoMajor: r.ProtoMajor, ProtoMinor: r.ProtoMinor,
		Header: r.Header, Host: r.Host, RemoteAddr: r.RemoteAddr, RequestURI: r.RequestURI, TLS: r.TLS, Body: http.NoBody,
	}
}

// Value returns the value stored by SetValue, nil if there is none.
func (c *Conn) Value() any {
	c.value.Lock()
	defer c.value.Unlock()
	return c.value.v
}

// SetValue stores a value of the application in the connection.
func (c *Conn) SetValue(v any) {
	c.value.Lock()
	defer c.value.Unlock()
	c.value.v = v
}

// LastReceived returns the time at which bytes of hub messages last arrived from the client, on the scale of [Now]. The time
// is taken after the read. If it is later than a Now() taken after a write, the bytes were read after that write.
func (c *Conn) LastReceived() int64 { return c.times.received.Load() }

// heard records that bytes of the hub stream have arrived. Empty frames, pings and pongs of a WebSocket do not count: a
// network stack sends them even if the application is frozen.
func (c *Conn) heard() { c.times.received.Store(c.server.time()) }

// renew stores the expiry of the latest request's credential, at which the connection ends.
func (c *Conn) renew(who Identity) {
	var expires int64
	if !who.Expires.IsZero() {
		expires = who.Expires.UnixNano()
	}
	c.times.expires.Store(expires)
}

// expired reports whether the latest credential has expired.
func (c *Conn) expired() bool {
	expires := c.times.expires.Load()
	return expires != 0 && time.Now().UnixNano() >= expires
}

// Context returns a context that ends with the connection. It is created by the first call, so that connections of
// applications that do not use it have no cost.
func (c *Conn) Context() context.Context { return c.life.context() }

// Send encodes an invocation of the client's method and queues it. It waits while the outbox is full. It returns the
// context's error, [ErrClosed], or the error of encoding the arguments. A nil error means that the invocation was queued, not
// that it was sent or received.
func (c *Conn) Send(ctx context.Context, target string, args ...any) error {
	f, err := encodeFor(c.proto, target, args)
	if err != nil {
		return err
	}
	return c.Write(ctx, f)
}

// TrySend is like Send but returns [ErrFull] instead of waiting.
func (c *Conn) TrySend(target string, args ...any) error {
	f, err := encodeFor(c.proto, target, args)
	if err != nil {
		return err
	}
	return c.TryWrite(f)
}

// TryWrite queues frames, all or none, to go out together. It never blocks. It returns [ErrFull] if the outbox has no room
// for all of them (unless Options.Slow selects another policy) and [ErrClosed] if the connection is closing. It copies the
// bytes of the frames.
func (c *Conn) TryWrite(frames ...Frame) error { return c.out.writeOr(frames, c.server.opts.Slow) }

// Write is like TryWrite but waits for room until ctx ends.
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

// Pending returns the number of bytes that wait in the outbox.
func (c *Conn) Pending() int { return c.out.pending() }

func encodeFor(p protocol, target string, args []any) (f Frame, err error) {
	f.encoded[p.index()], err = p.appendInvocation(nil, target, args)
	return f, err
}
