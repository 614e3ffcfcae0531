// Package delivery brings what is in the inboxes to the phones that are connected, and what phones acknowledge into the
// store. It knows no SignalR and no sockets: a connection is something that takes a push or says that it is full.
//
// A session is the machine of one connection: a pure step from an event and the time to effects, without goroutines,
// clock, randomness or store of its own. The Engine around the sessions owns all of those. One worker at a time runs a
// session; it carries out the effects outside of every lock, and what comes of them returns as further events.
//
// # The session
//
// What must hold: first deliveries of one lane on one connection have rising seq; nothing in the inbox is forgotten,
// whatever hint was lost, doubled or late; at most 64 messages and 64 KiB are unacknowledged; what one device
// acknowledged leaves the windows of the others.
//
// The naive way is to push each message from the call that stored it. Two calls for one recipient then race to the
// socket and arrive out of order, a slow phone holds up its senders, and a message that was stored between the
// connection's reading of the inbox and its entry into the presence table is never pushed at all.
//
// So hints only say that there is something. A session knows seen, the number up to which it knows every seq of its
// recipient. A hint with seen+1 is news that fits and is pushed at once, if the window has room and the lane is free. Any
// other news makes the session behind: then it reads the inbox, lane by lane from the highest priority, as the window
// opens. A read that ended all lanes sets seen to the recipient's counter in the same snapshot, and the session is caught
// up, unless a hint above that counter came meanwhile: then it reads again. The sweep asks for the counters of all
// connected recipients every few seconds and makes behind whoever missed something, so hints are speed and the sweep is
// the proof.
//
// # No acknowledgement
//
// Each lane has one timer, and only its oldest unacknowledged message is ever repeated. An attempt is spent only when
// the phone has shown a sign of life after the push and still did not acknowledge in time. Where none has come when the timer
// fires, the session probes: a WebSocket answers a ping behind everything that was pushed, so the repeat waits one round trip longer
// than the timeout and not for the next message of the phone, and a slow phone that has not got the push yet gets no second one. An
// application that is frozen has network code that answers, so the last attempt is spent only when the application itself was
// heard of; its connection ends by the hub's limit of silence. Before the repeat a backoff
// passes, in which new messages of that lane go out a few at a time (an eighth of the window); then the message is read again (another device may have
// ended it), the attempt is counted in the store by compare-and-set (another device may have counted it), and it is
// pushed once more. A phone without a sign of life costs no attempt: its connection will be found dead, and the next one
// reads the same inbox.
//
// # Other nodes
//
// The node that holds a phone delivers to it, and no other does; so nodes need not agree on anything but the store. To a
// session it is all the same whether a hint was born here or on another node: it may be wrong, and what it names is pushed
// only if it is the very next number. A hint of a number that does not exist costs one read. The Engine tells the other
// nodes through a Remote what it tells its own sessions: what was stored, and what ended. Who is connected nowhere is
// known to the Remote alone, and only where presence answered; that answer becomes a status and decides nothing else.
//
// The settlements of two devices meet in the store: an attempt is counted by compare-and-set, and an end applies once. A
// node that was paused and writes late writes what its phones did, and by the same rules.
package delivery
