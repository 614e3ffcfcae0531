// Package presence knows who is connected, and brings word of messages to where their recipients are. On one node that is a
// Table in memory. In a cluster a Router joins it, over two ports: Presence, which knows the nodes of a recipient, and
// Hints, which carry word between nodes. It keeps no message and decides nothing about one.
//
// # The Router
//
// What must hold: nothing here is needed for a message to arrive. Presence may forget, lie or be away, hints may be lost,
// doubled, late or go astray: the sweep of the node that holds a phone delivers all the same. So whatever does not fit is
// dropped and counted, nothing is tried again, and nobody waits: not the commit that has news, not the session that opens.
//
// What should hold as well, or the platform is slow: when nothing goes wrong, hints alone bring everything, and presence
// says what is.
//
// Outgoing hints wait in a bounded outbox. While one batch is on its way the next gathers; its recipients are looked up in
// one call, and every node gets one parcel. One batch at a time keeps the order per recipient as far as the transport
// does. Whoever is connected nowhere is reported to the engine, whose message is then pending. If presence did not answer
// nobody is reported: that somebody was not found is a thing that only an answer can say.
//
// The naive way to say presence is to assert when a session opens and to retract when it closes. A phone that reconnects
// then races with itself: the new session's assertion and the old one's retraction pass each other on the way, and the
// phone is invisible until somebody repeats the assertion. So the end of a session does not retract, it marks the recipient
// as changed, and so does the beginning of one, and a hint for somebody who is not here. One operation at a time takes the
// marks off, then looks whether the recipient is held, then says so. What changes after that look marks again, and the
// operation of that mark comes later; so the last operation always says what is.
//
// A look-up may have seen nobody before an assertion, and the session may have read the inbox before the commit that was
// looked up for. So what was asserted anew is compared with the store once, behind the assertion: then one of the two has
// seen the other.
//
// The Switchboard is the machine that decides all this, without goroutines, clock or calls of its own; the Router around
// it owns those. The simulation of package delivery drives the same machine.
//
// Concurrency: every method of Table and Router may be called from any goroutine; a Switchboard is for one at a time.
package presence
