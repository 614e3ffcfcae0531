// Package esh3ar is the vocabulary of the platform: messages, recipients, statuses, events, errors, and the port
// that every store engine realises. It does nothing by itself and imports only the standard library and uuid;
// every other package imports it, so its file list is the glossary of the house.
//
// # How a message walks
//
//	POST /v1/messages
//	  httpapi    authenticates, decodes once, validates
//	  intake     queues the call in the lane of its priority; the batcher commits whole batches:
//	             store.Append, one fsync, then every caller of the batch has its 202
//	  route      which connections does the recipient have? A hint to each; nobody there: status pending
//	  delivery   the session of a connection pushes what is next in the inbox, as far as its window is open
//	  hub        encodes it once and hands it to the phone's SignalR connection
//	  phone      acknowledges; delivery settles: status and event in one commit
//
// Accept ends at Append, deliver ends at Settle. Between them there are only hints: each may be lost, and the
// sweep of package delivery finds what they would have said.
//
// # Map
//
//	cmd/esh3ar              flags, wiring, order of start and stop
//	internal/httpapi        REST edge, OpenAPI, problem+json
//	internal/backplane      the hubs of all nodes as one: sends, groups and results across nodes
//	internal/hub            SignalR methods ↔ delivery
//	internal/dashboard      the phone demo
//	internal/intake         admission, lanes, group commit
//	internal/delivery       sessions, windows, acknowledgements, repeats, sweep
//	internal/notify         reads the event log for streams and hubs
//	internal/janitor        deletes what has served its time
//	internal/breaker        circuit breakers before what is outside the node
//	internal/wire           JSON of the outward contract that several edges write
//	internal/route          which connections has a recipient, here and on other nodes? presence and hints
//	internal/keyring        the keys of a cluster: device tokens, sealed frames, signatures
//	internal/redis          presence, registry, hints, quotas and a cache level on Redis
//	internal/cache          two levels: this process, and one that nodes share
//	internal/spill          accepted calls on this node's own disk while the shared store is away
//	internal/duration       durations as people write them, with days and weeks
//	internal/disk           what the databases on a node's disk need of it
//	internal/account        businesses, keys, plans, phone numbers, device tokens
//	internal/credential     the bearer token of a request
//	internal/quota          holds businesses to their plans, over all nodes
//	internal/flow           pure: backoff, quotas, load score, peaks of latency, budgets of repeats
//	internal/opaque         positions and cursors as clients see them, sealed
//	internal/fairshare      bounded resources with a share per business, phone or address
//	internal/scale          how many nodes there should be, and why
//	internal/scale/…        what starts and stops them: processes, kubernetes, command; workers inside a node
//	internal/mover          hands phones over to other nodes: how many, how fast, where to
//	internal/fastpath       calls that are written in the usual way, without net/http
//	internal/certfile       a TLS certificate that is read again when it changes
//	internal/panics         ends a connection, not the process, where its goroutine panics
//	internal/connlimit      holds connections to the budget of file descriptors
//	internal/netpoll        connections that are read in time where every processor is busy
//	internal/gate           who is inside something that ends
//	internal/vitals         what this process uses of the machine, and what it may use
//	internal/gateway        balances calls over nodes, and sends phones to them; the choice is pure (balance)
//	internal/planted        faults that a build can be given on purpose, to prove the proofs
//	internal/store/…        the store engines (embedded, postgres) and the suite that states their behaviour
//	internal/pgproc, internal/redisproc  real servers as child processes, for tests and instruments
//	internal/badlink        a way to a server that can be made slow, silent or broken, for tests and instruments
//	internal/nodeproc       a node as a child process, for tests and instruments
//	internal/phone          a SignalR phone in Go, for listen, bench and torture
//	internal/bench          load scenarios and their ledger
//	internal/attack         hostile clients, for tests and `make hostile`
//	internal/torture        kill -9 again and again, and a ledger that decides
//	signalr                 public SignalR server
//	signalr/…               Microsoft's client for pages, an example, and the suite that says what is proven
package esh3ar
