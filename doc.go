// Package esh3ar defines the vocabulary of the platform: messages, recipients, statuses, events, errors, and the interface that every
// store engine implements. It contains no behaviour of its own and imports only the standard library and uuid. Every other package
// imports it, so its file list is a glossary.
//
// # The way of a message
//
//	POST /v1/messages
//	  httpapi            authenticates the call, decodes it once, validates it
//	  ingest             queues the call in the lane of its priority; the batcher commits whole batches
//	                     (store.Append, one fsync), notifies the recipients' sessions, then answers every call 202
//	  cluster/presence   finds the recipient's connections and sends each a hint; without one the message is pending
//	  delivery           the session of a connection pushes the next messages of the inbox while its window is open
//	  hub                encodes a message once and writes it to the phone's SignalR connection
//	  the phone          acknowledges; delivery settles: status and event in one commit
//
// Accepting ends with Append, delivering ends with Settle. Everything between the two is a hint that may be lost: the sweep of
// package delivery finds the messages whose hints were lost.
//
// # Map
//
//	cmd/esh3ar                flags, output, exit codes
//	internal/node             composes a node or a gateway: options, order of start and stop, metrics
//	internal/usage            errors of mistaken flags
//	internal/buildinfo        version and commit
//
//	The edges:
//	internal/httpapi          REST API, OpenAPI, problem details
//	internal/hub              SignalR methods on top of delivery and eventfeed; hub/demo is the demo page of a phone
//	internal/wire             JSON of the public contract that several edges write
//	internal/gateway          balances calls over nodes and sends phones to them; balance chooses, upstream connects
//	internal/auth             businesses, API keys, plans, device tokens; auth/credential reads bearer tokens
//	internal/phonenumber      parses phone numbers in the usual formats
//	internal/ratelimit        rates and quotas of plans, over all nodes
//	internal/requestid        the id of a request
//	internal/opaque           sealed positions and cursors, as clients see them
//
//	The engine:
//	internal/ingest           lanes and group commit; ingest/admission limits and orders calls, ingest/spill keeps them on this node's disk while the store is away
//	internal/delivery         sessions, windows, acknowledgements, redelivery, sweep
//	internal/eventfeed        reads the event log for event streams and hubs
//	internal/retention        deletes messages and events after their retention
//	internal/store/…          the engines (embedded, postgres), the suite that both pass (storetest), the message codec, disk limits
//
//	The cluster:
//	internal/cluster/membership   which nodes are alive: the heartbeat and the registry
//	internal/cluster/presence     which connections a recipient has, on this node and on others; hints between nodes
//	internal/cluster/backplane    sends, groups and results of hubs across nodes
//	internal/cluster/rebalance    moves phones to other nodes: how many, how fast, where to
//	internal/cluster/keyring      the keys of a cluster: device tokens, sealed frames, signatures
//	internal/cluster/redis        presence, registry, hints, quotas and a cache level on Redis
//	internal/autoscale            how many nodes there should be, and why; processes, kubernetes and command start and stop them
//
//	Building blocks:
//	internal/breaker          circuit breakers around dependencies
//	internal/cache            two cache levels: this process, and one shared by nodes
//	internal/duration         durations as people write them, with days and weeks
//	internal/fairshare        bounded resources with a share per business, phone or address
//	internal/flow             pure control algorithms: backoff, quotas, load score, latency peaks, retry budgets
//	internal/runtime/…        netpoll (epoll), httpfast (HTTP/1.1 fast path), connlimit (budget of descriptors), workerpool,
//	                          sysload (use of the machine), drain, panics, certfile
//
//	Instruments and tests:
//	internal/bench            load scenarios and their reports
//	internal/bench/page       the generated part of docs/benchmarks.md
//	internal/bench/rounds     alternating rounds, and the median ratio with its interval
//	internal/torture          kill -9 again and again; torture/checker decides whether a promise was broken
//	internal/faultinject      faults that a test build contains on purpose, to prove that tests find them
//	internal/signalrclient    a SignalR phone in Go, for listen, bench, torture and tests
//	internal/clarity          analyzers of make lint for code that has to be read twice
//	internal/crashfs          a file system that loses unsynced writes
//	internal/testkit/…        real servers and nodes as child processes, a fault proxy, a simulated cluster, hostile clients
//
//	signalr                   the public SignalR server
//	signalr/…                 Microsoft's client for pages, examples, and the conformance suite
package esh3ar
