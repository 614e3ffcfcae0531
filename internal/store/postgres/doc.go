// Package postgres is the store of a cluster: PostgreSQL 15 or newer, shared by all nodes. It keeps what the store port says
// and decides nothing of when things happen.
//
// Concurrency: every method may be called from any goroutine and from any number of nodes.
//
// # Writing
//
// What must hold: a call's messages, places, numbers, key and first events are one commit; numbers are dense per recipient
// and in commit order; nobody waits for a node that has stopped in the middle of something.
//
// The naive way opens a transaction, reads, decides and writes. A node that is paused between two of these statements holds
// its row locks for as long as it likes, and with them everybody who sends to the same recipients.
//
// So every write is one statement: the call of a function in the database with arrays as arguments, one implicit
// transaction, no turn of the client while rows are locked. Append needs no decision: append_calls takes keys, then
// counters, each in sorted order, then inserts. Settle does: whether a change applies is decided here, in Go, by the code that
// all engines share. A node reads the rows (most it remembers from its own last write), decides, and settle_messages
// compares the revision of each row before it writes: all are as they were read, or nothing is changed and the node reads
// again. Deadlocks and lost races are repeated with the same ids.
//
// # The event log
//
// What must hold: a reader misses no event that commits late, and sees the events of one message in the order of their
// versions. Sequences give neither: a transaction with a low number can commit after a reader has passed it. So an event's
// position is the id of its transaction, or the position of the message's event before if that is higher, and readers take
// what lies below the oldest transaction that still runs. The events of a transaction are one row, which costs a small part
// of a row for each.
//
// # Reading
//
// PostgreSQL shows a commit to others only after its WAL is on disk (and, with a synchronous standby, on that one's), so every
// read is one of durable things.
package postgres
