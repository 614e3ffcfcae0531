// Package signalr is an ASP.NET Core SignalR server: Microsoft's clients, and everybody else's, connect to it as they do
// to Microsoft's own. It knows connections, calls and sends; what they mean is the application's.
//
// A [Hub] holds the methods clients may call and the hooks of their connections. A [Server] serves one hub on one path
// of an ordinary net/http server. Run does the work and ends it:
//
//	hub := signalr.NewHub()
//	signalr.Handle2(hub, "Add", func(_ *signalr.Call, a, b int) (int, error) { return a + b, nil })
//
//	server := signalr.NewServer(hub, signalr.Options{})
//	mux := http.NewServeMux()
//	server.Mount(mux, "/calculator")
//	go http.ListenAndServe(":8080", mux) // in earnest: a group, and a Shutdown
//	err := server.Run(ctx)
//
// And in a page: connection.invoke("Add", 1, 2). The Example is the same with sends in the other direction.
//
// # Calls
//
// Methods are registered by On0 to On2 (no result), Handle0 to Handle2 (a result), or [Hub.Handle] for those who decode
// by themselves. Calls of one connection run one at a time, in the order in which they came
// (Limits.ParallelInvocations), each on a goroutine that lives as long as there are calls. A handler may therefore
// block: only its own client waits, and when its input has filled Limits.Inbox its socket is no longer read. A handler
// whose answer comes from elsewhere takes its [Call] out of the order by [Call.Defer] and completes it later.
//
// Clients see the text of a [HubError]; of every other error and of panics they see only that there was one.
//
// # Transports
//
// Clients connect by WebSockets, and where those are blocked by Server-Sent Events or long polling, with POST requests for
// the other direction (Options.Transports says which are offered). All three are the same to the application. What a
// client polls for waits in its outbox; a client that does not poll for Timeouts.Disconnect is gone. The requests of one
// connection must reach the server that negotiated it.
//
// With Options.StatefulReconnect a connection over WebSockets outlives its socket: a client that loses it and opens another
// within Timeouts.Disconnect goes on where it was, with nothing lost and nothing handled twice (stateful.go says how). What
// is sent meanwhile is kept, up to Limits.Replay.
//
// # Sends
//
// What is sent to a connection waits in its outbox, bounded by Limits.Outbox. [Conn.Send] waits for room,
// [Conn.TrySend] says [ErrFull] instead, and [Hub.OnWritable] tells when to try again. What goes to many is encoded once
// as a [Frame]; several frames given to one [Conn.TryWrite] leave in one write of the socket, which is nearly all that
// a push costs. Whatever one goroutine sends to one connection arrives in that order, and a handler's sends arrive
// before its completion. A client that takes no bytes for Timeouts.Send is closed.
//
// # Ends
//
// A connection ends by its client, by [Conn.Close] or [Conn.Abort], or by a rule: silence after it has ever pinged, a
// message that is too long or none, an expired credential, [Server.Shutdown]. The client is told in all of the latter
// cases that it may reconnect. OnDisconnected runs once, after the last handler has returned.
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
// Clients speak the JSON or the MessagePack protocol, as they choose.
package signalr
