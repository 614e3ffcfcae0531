// Package signalr implements an ASP.NET Core SignalR server. Microsoft's clients and third-party clients connect to it as
// they connect to Microsoft's server. The package handles connections, calls and sends; their meaning is up to the
// application.
//
// # A chat in ten minutes
//
// A [Hub] holds the methods that clients may call. A [Server] serves one hub on one path of an ordinary net/http server.
// This is a whole program:
//
//	package main
//
//	import (
//		"context"
//		"log"
//		"net/http"
//
//		"github.com/esh3artech/esh3ar/signalr"
//		"github.com/esh3artech/esh3ar/signalr/browser"
//	)
//
//	func main() {
//		hub := signalr.NewHub()
//		signalr.On2(hub, "Say", func(c *signalr.Call, who, what string) error {
//			return c.Server().All().Send(c.Context(), "said", who, what)
//		})
//
//		server := signalr.NewServer(hub, signalr.Options{})
//		go func() { log.Fatal(server.Run(context.Background())) }()
//
//		server.Mount(http.DefaultServeMux, "/chat")
//		http.Handle("/signalr/", http.StripPrefix("/signalr", browser.Handler())) // Microsoft's client
//		http.Handle("/", http.FileServer(http.Dir(".")))
//		log.Fatal(http.ListenAndServe("localhost:8080", nil))
//	}
//
// And index.html in the same directory:
//
//	<!doctype html>
//	<input id="what"><ul id="said"></ul>
//	<script src="/signalr/signalr.min.js"></script>
//	<script>
//	  const chat = new signalR.HubConnectionBuilder().withUrl("/chat").withAutomaticReconnect().build();
//	  chat.on("said", (who, what) => said.append(Object.assign(document.createElement("li"), { textContent: who + ": " + what })));
//	  what.onchange = () => { chat.invoke("Say", "me", what.value); what.value = ""; };
//	  chat.start();
//	</script>
//
// The next steps: Options.Authenticate identifies the user of a request, [Conn.Join] adds a connection to a group,
// [Server.Group] sends to a group and lists its members, [Handle1] registers a method with a result, and [Server.Shutdown]
// shuts the server down gracefully. The program in examples/chat uses all of them and includes a page:
// go run ./signalr/examples/chat.
//
// # Calls
//
// Methods are registered by On0 to On3 (no result), Handle0 to Handle3 (a result), Stream0 to Stream2 (a stream of
// results). [Hub.Handle] and [Hub.HandleStream] register handlers that decode their arguments themselves. A parameter of
// type [Upload] is a stream from the client. Types are resolved at registration, so a call costs no more than decoding its
// arguments.
//
// Calls of one connection run one at a time, in order of arrival (see Limits.ParallelInvocations), on a goroutine that
// exists only while there are calls. A handler may therefore block: only its own client waits. When the input of that
// client fills Limits.Inbox, its socket is no longer read. There are three exceptions to the order:
//
//   - A handler that gets its result later calls [Call.Defer] and completes the [Call] at any time. A handler that calls
//     its client by [Invoke] releases its slot in the same way.
//   - The handler of a stream of results runs in order until it returns its sequence. The items of the sequence are sent
//     concurrently with later calls, as after the first await of a method of Microsoft's server.
//   - Calls with client streams run concurrently with all other calls from the start.
//
// Limits.Streams bounds the calls with streams in either direction.
//
// [Hub.HandleFunc] registers functions with any number of arguments, [Hub.HandleMethods] the methods of a struct.
//
// Clients see the text of a [HubError]. For every other error, and for panics, they see only that an error occurred.
//
// [Hub.Use] adds filters around all calls, connects and disconnects.
//
// # Protocols
//
// Each client chooses JSON or MessagePack; handlers are the same for both. Field names and conversion rules are those of
// encoding/json in both protocols. MessagePack encodes []byte as binary data and [time.Time] as a timestamp; integers stay
// integers. JSON that a value writes itself ([JSONAppender], json.RawMessage) is converted to MessagePack, unless the value
// implements [MessagePackAppender]. .NET clients use Pascal case for field names by default: use the same names in the
// struct tags, or configure the resolver of the client.
//
// # Transports
//
// Clients connect by WebSockets. Where WebSockets are blocked, they use Server-Sent Events or long polling, with POST
// requests for the other direction. Options.Transports selects the transports that are offered. All three look the same to
// the application. Messages for a client that polls wait in its outbox. The connection ends if the client does not poll
// for Timeouts.Disconnect.
//
// With Options.StatefulReconnect a WebSocket connection outlives its socket: a client that loses the socket and opens
// another one within Timeouts.Disconnect resumes the connection. No message is lost and none is handled twice; stateful.go
// describes the protocol. Messages sent in the meantime are buffered, up to Limits.Replay.
//
// # Sends
//
// A [Target] is a set of recipients: [Server.All], [Server.Client], [Server.Group], [Server.User] and others. A send is
// encoded once per protocol. It is queued at once for every client whose outbox has room; the error names the clients it
// did not reach. A target also lists its connected users ([Target.UserIDs]).
//
// Messages to a connection wait in its outbox, which is bounded by Limits.Outbox. [Conn.Send] waits for room.
// [Conn.TrySend] returns [ErrFull] instead, and [Hub.OnWritable] is called when there is room again. A message that is sent
// many times can be encoded once as a [Frame]. Several frames passed to one [Conn.TryWrite] go out in one write to the
// socket, which is most of the cost of a push. Messages that one goroutine sends to one connection arrive in that order,
// and the messages sent by a handler arrive before its completion. A connection whose client takes no bytes for
// Timeouts.Send is closed. With Options.Slow, TrySend and TryWrite drop the oldest messages instead, keep the newest
// message of each key, or close the connection.
//
// # End of a connection
//
// A connection is ended by its client, by [Conn.Close] or [Conn.Abort], or by the server: after a timeout, for a message
// that is too long or malformed, for an expired credential, and during [Server.Shutdown]. When the server ends a
// connection, it tells the client that it may reconnect. OnDisconnected runs once, after the last handler has returned.
// Shutdown refuses new connections first and then closes the others at a steady rate; [Server.Move] closes a number of
// them and keeps serving.
//
// # Several nodes
//
// A connection belongs to the node that negotiated it. Options.OnNegotiate redirects clients to another node before they
// connect. With Options.Node, the connection tokens of a node begin with its name. A load balancer can route by that name
// ([NodeOf]), or a node that receives a request for another node can forward it (Options.OnUnknownToken); sticky sessions
// are not needed. With a [Backplane], targets reach the clients of all nodes.
//
// # Cost and concurrency
//
// On Linux an idle connection holds no goroutine, no timer and no buffer: a few network loops watch all sockets, and one
// ticker checks all timeouts. It uses less than 2 KiB (BenchmarkIdle). TLS is better terminated in front of this package:
// encrypted sockets cannot be polled and need a goroutine each. An event stream or an open poll costs only the goroutine
// and the buffers that net/http uses for its request. Between two polls there is no cost.
//
// All methods of all types may be called from any goroutine, except that a [Hub] must be complete before [NewServer].
//
// [Server.Metrics] returns the metrics that OpenTelemetry defines for SignalR. Options.Logger receives how connections
// end. Neither contains connection tokens, user ids or messages.
package signalr
