package signalr

import (
	"log/slog"
	"net/http"
	"runtime"
	"time"
)

// Options configures a [Server]. The zero value is usable: every field documents its default. It is read once, by
// [NewServer].
type Options struct {
	// Authenticate returns the identity of the user who makes a request. It is called for every request: negotiate,
	// connect, poll and post. If it returns an error, the request is answered 401 with an empty body, or 503 if the
	// error wraps [ErrUnavailable]. A request of another user than the one that negotiated the connection is answered
	// 403. If Authenticate is nil, all clients are accepted without a user id. It runs on the goroutines of net/http and
	// may block. See [BearerToken].
	Authenticate func(*http.Request) (Identity, error)

	// OnNegotiate may redirect a negotiate request to another address. If it returns a zero [Redirect], the request is
	// negotiated as usual. If it returns a [*HubError], the client's start fails with exactly its text; any other error
	// is answered 500. If OnNegotiate is nil, no request is redirected.
	OnNegotiate func(*http.Request, Identity) (Redirect, error)

	// AllowOrigin reports whether pages of this origin may use the hub. It applies to CORS and to the WebSocket upgrade
	// (browsers do not apply CORS to WebSockets). If it is nil, only the origin that the request was addressed to is
	// allowed. It is not called for requests without an Origin header. See [AllowOrigins] and [AnyOrigin].
	AllowOrigin func(r *http.Request, origin string) bool

	// AllowHeaders lists the request headers that pages of an allowed origin may send (Access-Control-Allow-Headers). If
	// it is nil, the headers that the browser requests are allowed, so headers of the application and of tracing need no
	// configuration.
	AllowHeaders []string

	// Backplane connects this server to the servers of other nodes. If it is nil, this is the only node.
	Backplane Backplane

	// KeepRequest stores the request of each connection for [Conn.Request]. It costs a few KiB per connection.
	KeepRequest bool

	// ConnectionEnded, if not nil, is called after each connection has ended, for metrics. It must not block.
	ConnectionEnded func(Ended)

	// OnPanic, if not nil, is called for each panic that the server has recovered, after it was logged and counted. It
	// must not block.
	OnPanic func(Panic)

	// Logger receives what is not reported in another way: panics, errors that handlers return and failures of the
	// network engine (Error), arguments that cannot be decoded (Warn), connections that ended with an error (Info) and
	// without one (Debug). Mistakes in the setup of the server, such as a missing call of [Server.Run], are logged once
	// each. Connection tokens, credentials, user ids and messages are never logged. If Logger is nil, nothing is logged.
	Logger *slog.Logger

	// Protocols lists the hub protocols that clients may use: "json", "messagepack". If it is nil, both are allowed.
	Protocols []string

	// DetailedErrors sends the text of internal errors to clients. It is meant for development only.
	DetailedErrors bool

	// MinProtocolVersion is the lowest negotiateVersion that is accepted, 0 or 1. Default 0.
	MinProtocolVersion int

	// Transports is the set of transports by which clients may connect. Default: all.
	Transports Transports

	// StatefulReconnect allows clients to resume a connection that has lost its WebSocket by opening another one within
	// Timeouts.Disconnect. No message is lost or handled twice, and neither OnConnected nor OnDisconnected runs.
	// Messages that the client has not acknowledged are buffered, at most Limits.Replay bytes. Default: off, as with
	// Microsoft's server.
	StatefulReconnect bool

	// Slow is the policy of TryWrite and TrySend, of a connection or of a target, when a client's outbox is full.
	// Default: [SlowRefuse].
	Slow SlowPolicy

	// ReplaceOldest selects what happens when a device that has Limits.ConnectionsPerDevice open connections opens
	// another one. If it is set, the new connection is accepted and the oldest one is closed without permission to
	// reconnect: a phone is not locked out by an old socket that is half dead. Otherwise the new one is answered 429.
	ReplaceOldest bool

	// Node is the name of this server among several behind one address. Its connection tokens begin with the name, so
	// that a proxy can route a request to its node; see [NodeOf]. At most 128 letters, digits and -._~. Default: none.
	Node string

	// OnUnknownToken is called for each request whose token names another node, before the origin and the credential are
	// checked. It answers the request, for example by forwarding it to that node (a [net/http/httputil.ReverseProxy]
	// also forwards WebSockets), and returns true. If it returns false or is nil, the request is answered 404. A token
	// can be forged: forward only to nodes with known names, and only after verifying the credential. If the credential
	// is invalid, return false; the server then answers as for its own connections.
	OnUnknownToken func(w http.ResponseWriter, r *http.Request, node string) bool

	// Pollers is the number of network loops. Default: GOMAXPROCS, at most 4. If it is negative, each connection is
	// served by its own goroutine, as is done for TLS and on platforms without a poller.
	Pollers int

	Timeouts Timeouts
	Limits   Limits
}

// Timeouts are the timeouts of a [Server]. Zero selects the default, a negative value disables the timeout. All of them
// are checked once per Heartbeat, so that no connection needs a timer; their resolution is therefore one Heartbeat.
type Timeouts struct {
	Handshake  time.Duration // for the whole handshake, from the transport's start; default 15 s
	KeepAlive  time.Duration // silence of the server after which it pings; default 15 s
	Client     time.Duration // time without bytes of hub messages after which a client is considered gone, whether it pings or not; default 30 s
	Message    time.Duration // for a whole hub message, or a part of the body of a POST, from its first byte; default 60 s
	Disconnect time.Duration // lifetime of a negotiated connection without a transport, and of one between two polls or two sockets; default 15 s
	// Acknowledge bounds how long a full replay buffer waits for the client's acknowledgement; default 5 s.
	Acknowledge time.Duration

	Poll      time.Duration // time after which a poll without data is answered; default 90 s
	Close     time.Duration // wait for the peer's WebSocket close frame, then abort; default 5 s
	Send      time.Duration // time without progress of a transport write after which the connection is closed; default 10 s
	Heartbeat time.Duration // interval at which all timeouts are checked; default 1 s
}

// Limits are the resource limits of a [Server]. Zero selects the default.
//
// One connection holds at most:
//
//   - Outbox bytes of outgoing messages (twice that with a policy that drops messages, plus Replay with stateful
//     reconnect) and one completion or frame beyond that,
//   - Inbox bytes and one Message of input,
//   - ParallelInvocations goroutines with their arguments,
//   - the arguments of its Deferred calls.
//
// An idle connection holds no buffer at all.
type Limits struct {
	// Message is the largest hub message a client may send, framing included, in bytes. One byte more closes the
	// connection. Default 32768; negative: unlimited.
	Message int
	// Outbox is the number of bytes that may wait for one client. When it is exceeded, TrySend returns [ErrFull] and Send
	// waits. A single larger message is accepted if nothing else waits. Default 65536.
	Outbox int
	// Replay is the number of sent bytes that are buffered, in addition to the outbox, until a client with stateful
	// reconnect acknowledges them. When it is exceeded, sends behave as with a full outbox. Clients acknowledge once per
	// second. Default 100000.
	Replay int
	// Inbox is the number of input bytes of one connection that may wait for an invocation slot. When it is reached, the
	// socket is no longer read, and TCP applies back-pressure to the client. Default 65536.
	Inbox int
	// Unfinished is the number of input bytes, over all connections, that may wait for the rest of their message or for an
	// invocation slot. When it is exceeded, the connection whose bytes came last is closed, or is not read if it waits for
	// a slot. Above half of it, a message must be complete within a quarter of Timeouts.Message. Default 64 MiB.
	Unfinished int
	// UnfinishedPerUser is Unfinished for the connections of one user. Default: a sixteenth of Unfinished.
	UnfinishedPerUser int
	// UnreadPerUser is the number of bytes that may wait to be sent, over all connections of one user. When it is
	// exceeded, the connection whose bytes came last is dropped if at least 4 KiB wait for it; its client may reconnect.
	// Clients without a user id are not counted. Default 16 MiB; negative: unlimited.
	UnreadPerUser int
	// ParallelInvocations is the number of invocations of one connection that run at a time. They start in order of
	// arrival; with 1, the default, each starts after the previous one has returned.
	ParallelInvocations int
	// Deferred is the number of calls of one connection that may be open by [Call.Defer] before its next invocation waits.
	// Default 1024.
	Deferred int
	// Arguments is the number of bytes that the ids and arguments of one connection's open calls may take. It is counted
	// twice: for calls that hold a slot or are open by [Call.Defer], and for calls with streams. When the first count
	// exceeds it, the next invocation waits; when the second does, the next call is answered with an error. A single call
	// is always accepted. Default 262144.
	Arguments int
	// Streams is the number of calls of one connection that may be open with a stream in either direction. They take no
	// invocation slot, except the handler of a stream of results until it returns. Further calls are answered with an
	// error that names the limit. Default 64.
	Streams int
	// StreamBuffer is the number of items of one client stream that may wait for its reader before the connection is no
	// longer read. All waiting items of a connection are also bounded by Inbox, except the first of each stream.
	// Default 10.
	StreamBuffer int
	// Negotiated is the number of negotiated connections that may wait for their client to connect (each costs about
	// 250 bytes for at most Timeouts.Disconnect). When it is exceeded, the oldest one is dropped. If the oldest is younger
	// than a second, negotiate is answered 503 instead. A flood thus shortens the time that other clients have to connect
	// but does not lock them out. Default 65536.
	Negotiated int
	// NegotiatedPerUser is Negotiated for one user; when it is exceeded, negotiate is answered 429. Default: a sixteenth of
	// Negotiated.
	NegotiatedPerUser int
	// Connections is the number of connections that may be open; further clients are answered 503. Default unlimited.
	Connections int
	// ConnectionsPerUser is the number of connections that one user may have open; further negotiate and connect requests
	// are answered 429. Clients without a user id are not counted. Default unlimited.
	ConnectionsPerUser int
	// ConnectionsPerDevice is the number of connections that one device of a user may have open, see [Identity].
	// Options.ReplaceOldest selects what happens when it is exceeded. Default unlimited.
	ConnectionsPerDevice int
	// DrainRate is the number of connections per second that [Server.Shutdown] closes, so that they do not all reconnect
	// to the other nodes at once. Default 2000; negative: all at once.
	DrainRate int
}

// Identity is the authenticated user and device of a connection.
type Identity struct {
	UserID    string    // user id for [Server.User]; "" if the client is anonymous
	Device    string    // one of the user's devices or credentials, for Limits.ConnectionsPerDevice; "" if unknown
	Principal any       // value of the application, see [Conn.Principal]
	Expires   time.Time // time at which the connection is closed, with permission to reconnect; the latest request's counts; zero: never
}

// Redirect makes a client negotiate again at another address.
type Redirect struct {
	URL         string // address of the other hub, without "/negotiate"
	AccessToken string // bearer token that the client uses there; "": none
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.AllowOrigin == nil {
		o.AllowOrigin = sameOrigin
	}
	setDefault(&o.Transports, allTransports)
	if o.Pollers == 0 {
		o.Pollers = min(runtime.GOMAXPROCS(0), 4)
	}
	checkNode(o.Node)
	o.Timeouts = o.Timeouts.withDefaults()
	o.Limits = o.Limits.withDefaults()
	return o
}

func (t Timeouts) withDefaults() Timeouts {
	setDefault(&t.Handshake, 15*time.Second)
	setDefault(&t.KeepAlive, 15*time.Second)
	setDefault(&t.Client, 30*time.Second)
	setDefault(&t.Message, time.Minute)
	setDefault(&t.Disconnect, 15*time.Second)
	setDefault(&t.Poll, 90*time.Second)
	setDefault(&t.Acknowledge, 5*time.Second)
	setDefault(&t.Close, 5*time.Second)
	setDefault(&t.Send, 10*time.Second)
	if t.Heartbeat <= 0 {
		t.Heartbeat = time.Second
	}
	return t
}

func (l Limits) withDefaults() Limits {
	setDefault(&l.Message, 32768)
	setDefault(&l.Outbox, 65536)
	setDefault(&l.Replay, 100000)
	setDefault(&l.Inbox, 65536)
	setDefault(&l.Unfinished, 64<<20)
	setDefault(&l.UnfinishedPerUser, l.Unfinished/16)
	setDefault(&l.UnreadPerUser, 16<<20)
	setDefault(&l.ParallelInvocations, 1)
	setDefault(&l.Deferred, 1024)
	setDefault(&l.Arguments, 256<<10)
	setDefault(&l.Streams, 64)
	setDefault(&l.StreamBuffer, 10)
	setDefault(&l.Negotiated, 65536)
	setDefault(&l.NegotiatedPerUser, max(1, l.Negotiated/16))
	setDefault(&l.DrainRate, 2000)
	return l
}

func setDefault[T int | time.Duration | Transports](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}
