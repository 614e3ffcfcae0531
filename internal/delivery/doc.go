// Package delivery pushes the messages in the inboxes to connected phones, and settles what the phones acknowledge. It knows neither SignalR
// nor sockets: a connection is an interface that takes a push or refuses it.
//
// Concurrency: a session is the state machine of one connection, a pure step from an event and the time to effects. It has no goroutine,
// lock, clock, randomness or store. The Engine owns these. One worker at a time runs a session; it carries out the effects outside of
// every lock, and their results return to the session as events.
//
// # The session
//
// What must hold: first deliveries of one lane on one connection have rising seq; no message in the inbox is left out, whatever hint was
// lost, duplicated or late; at most 64 messages and 64 KiB are unacknowledged; a message that one device has acknowledged leaves the
// windows of the others.
//
// The naive way is to push each message in the call that stored it. Then two calls for one recipient race to the socket and arrive out of
// order, a slow phone blocks its senders, and a message that was stored after the connection has read the inbox, but before it is in the
// presence table, is never pushed.
//
// So a hint only says that a message may be there. A session keeps seen, the seq up to which it knows every message of its recipient:
//
//   - A hint with seen+1 is pushed at once if the window and the lane have room.
//   - A hint with a higher seq makes the session catch up: it reads the inbox, lane by lane from the highest priority, as the window opens.
//   - A read that has reached the end of all lanes sets seen to the recipient's counter in the same snapshot. The session is caught up,
//     unless a hint above that counter has arrived meanwhile; then it reads again.
//   - The sweep compares the counters of all connected recipients every few seconds and makes sessions with a lower seen catch up. So hints
//     provide speed, and the sweep provides completeness.
//
// # No acknowledgement
//
// Each lane has one timer, and only its oldest unacknowledged message is redelivered:
//
//   - An attempt counts only if the phone has shown a sign of life after the push and still did not acknowledge in time.
//   - If there was no sign of life when the timer fires, the session sends a probe. A WebSocket answers a ping after everything that was
//     pushed before it. So the redelivery waits one round trip, not for the next message of the phone, and a slow phone that has not
//     received the push yet does not get it twice.
//   - The network code of a frozen application answers probes too. So the last attempt counts only if the application itself was heard.
//     Otherwise the connection ends by the hub's limit of silence.
//   - Before a redelivery a backoff passes, in which few new messages of the lane are pushed (an eighth of the window). Then the attempt is
//     counted in the store by compare-and-set, because another device may have counted it, the message is read again, because another
//     device may have ended it, and it is pushed.
//   - A phone without a sign of life costs no attempt. Its connection will be found dead, and the next one reads the same inbox.
//
// # Other nodes
//
// The node that holds a phone's connection delivers to it, and no other node does. So the nodes need to agree on nothing but the store. A
// session treats hints of this node and of other nodes alike: a hint may be wrong, and its message is pushed only if it has the next seq.
// A hint with a seq that does not exist costs one read. Through a Remote the Engine sends the other nodes the hints that it sends to its
// own sessions. Only the Remote knows which recipients are connected to no node, and only while presence answers; that answer becomes the
// status Pending and decides nothing else.
//
// The settlements of two devices meet in the store: an attempt is counted by compare-and-set, and a message ends once. A node that was
// paused and writes late writes what its phones did, under the same rules.
package delivery
