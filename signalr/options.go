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
	// Authenticate names the user behind a request. It is asked for each one: negotiate, what opens a connection,
	// polls and posts; an error answers 401 with an empty body, or 503 if it wraps
	// [ErrUnavailable], another user than before 403. Nil lets everybody in,
	// without a user id. It runs on net/http's goroutines and may block. See [BearerToken].
	Authenticate func(*http.Request) (Identity, error)

	// OnNegotiate may answer a negotiate request with another address instead of a connection. A zero [Redirect]
	// goes on as usual. A [*HubError] fails the client's start with exactly its text, another error answers 500.
	// Nil never redirects.
	OnNegotiate func(*http.Request, Identity) (Redirect, error)

	// AllowOrigin says whether pages of this origin may use the hub. It serves CORS and the WebSocket upgrade alike
	// (browsers do not apply CORS to WebSockets). Nil allows the origin the request itself was addressed to.
	// Requests without an Origin header (no browser) are not asked about. See [AllowOrigins] and [AnyOrigin].
	AllowOrigin func(r *http.Request, origin string) bool

	// AllowHeaders are the request headers that pages of an allowed origin may send (Access-Control-Allow-Headers). Nil allows
	// what the browser asks for, so that headers of the application and of tracing need no configuration.
	AllowHeaders []string

	// Backplane joins this server with those of other nodes. Nil: there is only this one.
	Backplane Backplane

	// KeepRequest keeps the request of each connection for [Conn.Request], at the cost of its memory (some KiB).
	KeepRequest bool

	// ConnectionEnded is told about each connection that ended, for metrics. It must not block. Nil: nobody is told.
	ConnectionEnded func(Ended)

	// OnPanic is told about each panic that the server has recovered, after it was logged and counted. It must not block.
	// Nil: nobody is told.
	OnPanic func(Panic)

	// Logger gets what nobody else is told: panics, errors that handlers return and failures of the engine (Error), arguments
	// that do not fit (Warn), connections that ended by an
	// error (Info) and all others (Debug), and once each what is missing around the server, such as a call of
	// [Server.Run]. Nil discards it. Connection tokens, credentials, users and what was sent are
	// never logged.
	Logger *slog.Logger

	// Protocols are the names of the hub protocols that clients may speak, "json" and "messagepack". Nil: both.
	Protocols []string

	// DetailedErrors sends the text of internal errors to clients. For development only.
	DetailedErrors bool

	// MinProtocolVersion is the lowest negotiateVersion that is answered, 0 or 1. Default 0.
	MinProtocolVersion int

	// Transports are the ways in which clients may connect. Default: all.
	Transports Transports

	// StatefulReconnect lets clients that ask for it keep their connection when they lose its WebSocket and open another
	// within Timeouts.Disconnect: nothing is lost or handled twice, and neither hook runs. What was sent and not
	// acknowledged is kept for them, Limits.Replay bytes at most. Default: off, as with Microsoft's server.
	StatefulReconnect bool

	// Slow says what becomes of TryWrite and TrySend, of a connection or of a target, when a client's outbox is full.
	// Default: [SlowRefuse].
	Slow SlowPolicy

	// ReplaceOldest decides what happens to a device with Limits.ConnectionsPerDevice open connections that opens another.
	// Where it is set the new one is taken and the oldest is closed, without leave to reconnect: a phone whose old socket
	// is half dead is not kept out by it. Else the new one gets 429.
	ReplaceOldest bool

	// Node is the name of this server among others behind one address. Its connection tokens begin with it, so that
	// whatever gets a request can tell whose it is, see [NodeOf]. At most 128 letters, digits and -._~. Default: none.
	Node string

	// OnUnknownToken is asked about each request whose token names another node, before anything else is looked at: not
	// its origin, not its credential. It answers the request, by forwarding it there for example (an
	// [net/http/httputil.ReverseProxy] does that for WebSockets too), or returns false: then the request gets 404, as without
	// it. What is forwarded to where must depend on the name of a node that is known, for a token can be made up, and nothing should be
	// forwarded before its credential is verified: where that fails, return false, and the server answers as it does for its own.
	OnUnknownToken func(w http.ResponseWriter, r *http.Request, node string) bool

	// Pollers is the number of network loops. Default: GOMAXPROCS, at most 4. A negative number serves each
	// connection by a goroutine of its own, as is done for TLS and where the platform has no poller.
	Pollers int

	Timeouts Timeouts
	Limits   Limits
}

// Timeouts of a [Server]. A zero value means the default, a negative one never. They are looked at once per Heartbeat,
// so that no connection needs a timer of its own; none is more exact than that.
type Timeouts struct {
	Handshake  time.Duration // for the whole handshake, from the transport's start; default 15 s
	KeepAlive  time.Duration // silence of the server after which it pings; default 15 s
	Client     time.Duration // without bytes of hub messages from a client, after which it is gone, whether it has ever pinged or not; default 30 s
	Message    time.Duration // for a whole hub message, or a part of the body of a POST, from its first byte; default 60 s
	Disconnect time.Duration // life of a negotiated connection that nobody connects to, and of one between two polls or two sockets; default 15 s
	// Acknowledge bounds how long a full replay buffer waits for the client's acknowledgement; default 5 s.
	Acknowledge time.Duration

	Poll      time.Duration // a poll without data is answered after this; default 90 s
	Close     time.Duration // wait for the peer's part of the WebSocket close, then abort; default 5 s
	Send      time.Duration // a transport write without any progress for so long closes the connection; default 10 s
	Heartbeat time.Duration // the tick behind all of these; default 1 s
}

// Limits of a [Server]. A zero value means the default.
//
// One connection holds at most Outbox bytes of what it is sent (twice that with a policy that drops, Replay more with
// stateful reconnect) and one answer or frame beyond it, Inbox and one Message of what it sends, ParallelInvocations
// goroutines with their arguments, and the arguments of its Deferred calls. What it holds longest without doing anything is
// nothing: an idle connection has no buffer at all.
type Limits struct {
	// Message is the largest hub message a client may send, framing included, in bytes. One byte more closes the
	// connection. Default 32768; negative: unlimited.
	Message int
	// Outbox is the number of bytes waiting for one slow client beyond which TrySend says [ErrFull] and Send
	// waits. A single larger message is taken when nothing else waits. Default 65536.
	Outbox int
	// Replay is the number of bytes that are kept, besides the outbox, for a client that may reconnect with its state.
	// Beyond it sends are refused or wait as with a full outbox. Clients acknowledge once per second. Default 100000.
	Replay int
	// Inbox is the number of bytes of one connection that may wait for an invocation slot before the connection is
	// no longer read (TCP then holds the client back). Default 65536.
	Inbox int
	// Unfinished is the number of bytes of all connections together that may wait for the rest of their message, or for an
	// invocation slot. Beyond it the connection whose bytes came last is closed, or not read if it waits for a slot. From
	// half of it on, messages have a quarter of Timeouts.Message. Default 64 MiB.
	Unfinished int
	// UnfinishedPerUser is the same for the connections of one user. Default: a sixteenth of Unfinished.
	UnfinishedPerUser int
	// UnreadPerUser is the number of bytes that may wait for all connections of one user together. Beyond it the connection whose bytes
	// came last is dropped, if it holds 4 KiB of them; its client may reconnect. Clients without a user id are not counted.
	// Default 16 MiB; negative: unlimited.
	UnreadPerUser int
	// ParallelInvocations is how many invocations of one connection run at a time. They start in order of arrival;
	// with 1, the default, each starts after the previous one returned.
	ParallelInvocations int
	// Deferred is how many calls of one connection may be open by [Call.Defer] before its next invocation waits.
	// Default 1024.
	Deferred int
	// Arguments is the number of bytes that the ids and arguments of one connection's open calls may take: of those that
	// hold a slot or were taken out of it by [Call.Defer], beyond which the next invocation waits, and of those that
	// stream, beyond which the next one is answered with an error. One call alone is always taken. Default 262144.
	Arguments int
	// Streams is how many calls of one connection may be open that stream, in either direction. They take no
	// invocation slot, but for the handler of a stream of results until it returns. Beyond it they are answered with an
	// error that names the limit. Default 64.
	Streams int
	// StreamBuffer is how many items of one stream of a client wait for its reader before the connection is no longer
	// read. Together the items of a connection also keep within Inbox, as long as each stream has one. Default 10.
	StreamBuffer int
	// Negotiated is how many negotiated connections may wait to be connected (each costs about 250 bytes for at most
	// Timeouts.Disconnect). Beyond it the oldest is forgotten, unless it is younger than a second, when negotiate
	// answers 503: a flood shortens the time that others have for connecting, and keeps nobody out. Default 65536.
	Negotiated int
	// NegotiatedPerUser is how many of them may be of one user; beyond it negotiate answers 429. Default: a sixteenth of
	// Negotiated.
	NegotiatedPerUser int
	// Connections is how many connections may be open; beyond it a connecting client gets 503. Default unlimited.
	Connections int
	// ConnectionsPerUser is how many connections one user may have open; beyond it negotiate and connecting answer 429.
	// Clients without a user id are not counted. Default unlimited.
	ConnectionsPerUser int
	// ConnectionsPerDevice is how many of them may be of one device, see [Identity]. What happens beyond it is
	// Options.ReplaceOldest's to say. Default unlimited.
	ConnectionsPerDevice int
	// DrainRate is how many connections per second [Server.Shutdown] closes, so that they do not all come back to
	// the other nodes in one instant. Default 2000; negative: all at once.
	DrainRate int
}

// Identity is who stands behind a connection.
type Identity struct {
	UserID    string    // routes [Server.User]; "" is nobody in particular
	Device    string    // one of the user's devices or credentials, for Limits.ConnectionsPerDevice; "" is none in particular
	Principal any       // the application's own, see [Conn.Principal]
	Expires   time.Time // when set, the connection is closed then, and its client may reconnect; the latest request's counts
}

// Redirect sends a client elsewhere to negotiate again.
type Redirect struct {
	URL         string // of the other hub, without "/negotiate"
	AccessToken string // when set, the client uses it as bearer token there
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
