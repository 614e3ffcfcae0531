// Package signalr is an ASP.NET Core SignalR server: Microsoft's clients, and everybody else's, connect to it as they do
// to Microsoft's own. It knows connections, calls and sends; what they mean is the application's.
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
// And index.html beside it:
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
// From here: Options.Authenticate says who somebody is, [Conn.Join] puts a connection into a room, [Server.Group] sends to
// it and tells who is there, [Handle1] gives a method a result, and [Server.Shutdown] ends it all in good order. The
// program in examples/chat has all of that and a page: go run ./signalr/examples/chat.
//
// # Calls
//
// Methods are registered by On0 to On3 (no result), Handle0 to Handle3 (a result), Stream0 to Stream2 (a stream of
// results), or [Hub.Handle] and [Hub.HandleStream] for those who decode by themselves. A parameter of the type [Upload] is
// a stream of the client. Types are resolved at registration; a call costs what decoding its arguments costs.
//
// Calls of one connection run one at a time, in the order in which they came (Limits.ParallelInvocations), each on a
// goroutine that lives as long as there are calls. A handler may therefore block: only its own client waits, and when its
// input has filled Limits.Inbox its socket is no longer read. A handler whose answer comes from elsewhere takes its [Call]
// out of the order by [Call.Defer] and completes it later; one that asks its client by [Invoke] leaves the order by that.
// The handler of a stream of results runs in the order until it returns its sequence, which then goes out beside the order, as with
// the first await of a method of Microsoft's server. Calls with streams of the client run beside it from the beginning.
// Limits.Streams bounds both.
//
// [Hub.HandleFunc] takes functions of any number of arguments, [Hub.HandleMethods] a struct of handlers.
//
// Clients see the text of a [HubError]; of every other error and of panics they see only that there was one.
//
// [Hub.Use] adds filters that stand around all calls, connects and disconnects.
//
// # Protocols
//
// Clients speak JSON or MessagePack, as they choose, and a hub does not notice: names and rules are those of encoding/json
// in both. MessagePack has []byte as binary data and [time.Time] as a timestamp; integers stay integers. An application
// that writes JSON by itself ([JSONAppender], json.RawMessage) has it carried over, unless it is a [MessagePackAppender].
// .NET clients name fields in Pascal case by default: name them so in the tags, or set their resolver.
//
// # Transports
//
// Clients connect by WebSockets, and where those are blocked by Server-Sent Events or long polling, with POST requests for
// the other direction (Options.Transports says which are offered). All three are the same to the application. What a
// client polls for waits in its outbox; a client that does not poll for Timeouts.Disconnect is gone.
//
// With Options.StatefulReconnect a connection over WebSockets outlives its socket: a client that loses it and opens another
// within Timeouts.Disconnect goes on where it was, with nothing lost and nothing handled twice (stateful.go says how). What
// is sent meanwhile is kept, up to Limits.Replay.
//
// # Sends
//
// A [Target] is who something is sent to: [Server.All], [Server.Client], [Server.Group], [Server.User], and more of
// that kind. A send is encoded once per protocol, reaches all who have room at once, and names those it did not reach. The
// same targets tell who is there ([Target.UserIDs]).
//
// What is sent to a connection waits in its outbox, bounded by Limits.Outbox. [Conn.Send] waits for room,
// [Conn.TrySend] says [ErrFull] instead, and [Hub.OnWritable] tells when to try again. What is sent again and again is
// encoded once as a [Frame]; several frames given to one [Conn.TryWrite] leave in one write of the socket, which is nearly
// all that a push costs. Whatever one goroutine sends to one connection arrives in that order, and a handler's sends arrive
// before its completion. A client that takes no bytes for Timeouts.Send is closed. Options.Slow makes TrySend and TryWrite
// drop the oldest instead, keep the newest of each key, or close the connection.
//
// Several nodes are joined by a [Backplane]: then targets reach the clients of all of them.
//
// # Ends
//
// A connection ends by its client, by [Conn.Close] or [Conn.Abort], or by a rule: silence, a
// message that is too long or none, an expired credential, [Server.Shutdown]. The client is told in all of the latter
// cases that it may reconnect. OnDisconnected runs once, after the last handler has returned. Shutdown refuses new
// connections first and then closes the others at a steady rate; [Server.Move] closes a number of them and goes on.
//
// # Several nodes
//
// A connection lives on the node that negotiated it. Options.OnNegotiate sends clients elsewhere before they connect. With
// Options.Node the tokens of a node begin with its name: a balancer can route by it ([NodeOf]), and a node that gets a
// request of another can forward it (Options.OnUnknownToken), so that no balancer needs to know of sessions. Nodes that are
// joined by a [Backplane] reach the clients of all of them.
//
// # Cost and concurrency
//
// On Linux a connection that is idle holds no goroutine, no timer and no buffer: a few loops watch all sockets and one
// tick looks after all timeouts. It costs below 2 KiB (BenchmarkIdle). TLS is better ended in front of this package:
// encrypted sockets cannot be watched and get a goroutine each. An event stream or a poll that hangs costs the goroutine
// and the buffers that net/http has for its request, and no more; between two polls there is none.
//
// All methods of all types may be called from any goroutine, but a [Hub] is filled before [NewServer].
//
// [Server.Metrics] has the figures that OpenTelemetry names, Options.Logger gets how connections end. Neither holds a
// token, a user or what was sent.
package signalr
