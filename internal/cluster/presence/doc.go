// Package presence tracks which recipients are connected, and notifies the nodes that hold their connections of new messages. On one node
// that is a Table in memory. In a cluster a Router is added, which uses two ports: Presence, which stores the nodes of each recipient, and
// Hints, which carries notifications between nodes. The package stores no messages and makes no decisions about them.
//
// # The Router
//
// Invariant: delivery never depends on this package. Presence may lose entries, be wrong or be unavailable; hints may be lost, duplicated,
// late or misrouted. The sweep of the node that holds a phone delivers the message in every case. So whatever does not fit into a queue is
// dropped and counted, nothing is retried, and no caller waits: neither the commit that has new messages nor the session that opens.
//
// Without faults, hints alone deliver every message, and presence is exact. The sweep then finds nothing.
//
// Outgoing hints wait in a bounded outbox. While one batch is being sent, the next one accumulates. Its recipients are looked up in one
// call, and every target node gets one batch. One batch at a time preserves the order per recipient as far as the transport does.
// Recipients without a connection on any node are reported to the engine, which marks their messages pending. If the lookup fails, no
// recipient is reported: only an answer can prove that a recipient is offline.
//
// # Publishing presence
//
// The naive way is to assert when a session opens and to retract when it closes. A phone that reconnects then races with itself: the
// assertion of the new session and the retraction of the old one overtake each other, and the phone stays invisible until the next
// renewal. So neither event publishes anything. The beginning and the end of a session, and a misrouted hint, only add the recipient to the
// dirty set. One operation at a time removes a batch from the set, then checks which of the recipients have a session, then asserts or
// retracts them. A change after that check marks the recipient again, and its operation runs later. So the last operation always publishes
// the current state.
//
// One race is left. A lookup may have missed the recipient before the assertion, while the new session read its inbox before the commit
// that caused the lookup. So after every assertion of a new session the engine compares its counters with the store once: either the
// lookup saw the assertion, or the comparison sees the commit.
//
// RouterState makes all these decisions, without goroutines, clock or I/O; the Router around it owns those. The simulation of package
// delivery drives the same RouterState.
//
// Concurrency: every method of Table and Router may be called from any goroutine. The calls of a RouterState must be serialized.
package presence
