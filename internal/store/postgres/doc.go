// Package postgres implements the store port of the root package for a cluster, on PostgreSQL 15 or newer. All nodes share one
// database. The package implements the port only: it decides nothing about when messages are sent.
//
// Concurrency: every method is safe for concurrent use, from any number of nodes.
//
// # Writing
//
// Invariants:
//   - The messages, inbox entries, sequence numbers, key and first events of a call are one commit.
//   - Sequence numbers are dense per recipient, in commit order.
//   - No write waits for a node that stopped in the middle of another write.
//
// The naive way begins a transaction, reads, decides and writes. A node that is paused between two statements holds its row locks
// until it continues, and blocks all senders to the same recipients.
//
// Therefore every write is one statement: a call of a database function with arrays as arguments. It is an implicit transaction
// without a round trip to the client while rows are locked.
//
// Append needs no decision. append_calls inserts keys, then counters, each in sorted order, and then the other rows. Settle does need
// one: Go code shared by all engines decides whether a change applies. A node reads the rows, most of them from its cache, decides,
// and calls settle_messages, which compares the revision of each row. If a row has changed, nothing is written and the node reads
// again. Writes that lose a race or a deadlock are repeated with the same ids.
//
// # The event log
//
// Invariants: no reader misses an event that commits late, and every reader sees the events of a message in version order.
//
// A sequence guarantees neither: a transaction with a low number can commit after a reader has passed it. Therefore the position of an
// event is the id of its transaction, or the position of the message's previous event if that is higher. Readers stop below the
// oldest running transaction. The events of one transaction share a row, which is much cheaper than a row per event.
//
// # Reading
//
// PostgreSQL shows a commit to other sessions only after its WAL is on disk, and with a synchronous standby on that disk too.
// Therefore every read returns durable data.
package postgres
