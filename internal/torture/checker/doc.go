// Package checker decides, from what was seen outside of a node, whether the node kept its promises. It is pure: entries
// go in, a verdict comes out, and whoever makes the entries owns clocks, sockets and files.
//
// # Rounds
//
// A Book holds one round: from a moment at which everything was at rest to the next such moment. Entries are judged as
// they come where that is possible and folded into one Story per message, so that a book is as large as its round and a
// run of any length needs no more memory than its largest round. What the next round has to know of this one is a Carry:
// the highest seq of each recipient, and the first number that is not of the past. A message that was at rest at the end
// of its round must never be heard of again.
//
// # What is checked
//
// Of each message: it is stored once, under one id; it keeps its seq within a life; it reaches its own recipient, not
// before its time and not on a connection that began after it was canceled or expired; its history counts 1, 2, 3 … with
// growing (life, rank); it ends, in a status that somebody gave cause for; what a phone's completed acknowledgement said
// stays said. Of each connection: first deliveries of one lane have rising seq. Of each recipient: seqs are dense. Of each
// consumer of events: it saw every change, first sightings in the order of their versions. Of the dead letters: they are
// exactly the messages that failed and were not replayed.
//
// Of histories, with porcupine, whether there is one order in which all calls could have happened one at a time, each
// between its call and its answer: the idempotency keys (keys.go) and the inboxes (inbox.go).
//
// Concurrency: a Book is one owner's.
package checker
