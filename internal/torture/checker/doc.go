// Package checker decides from external observations whether a platform kept its promises. It is pure: it turns ledger
// entries into a verdict. Clocks, sockets and files belong to the caller.
//
// # Rounds
//
// A Book holds one round: the time from one quiescent state to the next. Entries are checked as they arrive where
// possible, and folded into one trace per message. So a book is as large as its round, and a run of any length needs no
// more memory than its largest round. A Carry passes on what the next round must know: the highest seq of each recipient
// and the first message number that does not belong to the past. A message that was at rest at the end of its round must
// never appear again.
//
// # Checks
//
//   - Message: it is stored once, under one id. It keeps its seq within a life. It reaches its own recipient only, not before
//     its time, and not on a connection that began after its cancellation or expiry. Its history has the versions 1, 2, 3 … with
//     growing (life, rank). It ends in a status with a recorded cause. A completed acknowledgement is never undone.
//   - Connection: first deliveries of one lane have rising seqs.
//   - Recipient: seqs have no gaps.
//   - Event consumer: it saw every change, first sightings in the order of versions.
//   - Dead letters: exactly the messages that failed and were not replayed.
//
// Two kinds of histories are checked for linearizability with porcupine, that is, whether some sequential order of all
// operations, each between its call and its answer, explains the answers: idempotency keys (keys.go) and inboxes
// (inbox.go).
//
// Concurrency: a Book is not safe for concurrent use.
package checker
