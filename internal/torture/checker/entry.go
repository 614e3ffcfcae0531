package checker

import "fmt"

// Entry is one line of the ledger: an external observation. Kind determines which fields are set.
//
// Times are nanoseconds since 1970 of one monotonic clock. A call began at Began and was answered at At. - At
// int64 | time of the answer or the observation - Call     int | number of the first message of its API call; equal
// numbers mean equal bodies - Conn     int | number of the connection of a phone or a consumer - Status   string |
// status of the message, or status code of the answer - Reason   string | reason of the status - Node     int | number
// of the node that was called - Spilled  bool | accepted into the node's spill, and so without a seq - SendAt   int64 |
// earliest delivery; zero: at once - TTL      int64 | time to live in nanoseconds; zero: unlimited - Quiet    bool |
// message: sent before all consumers were connected; connection: it never sends - Count    int | number that the node
// reports - Part     string | part of the fleet that suffered a fault - Events   [] | history of the message, in the
// order of the answer
type Entry struct {
	Kind     Kind   `json:"kind"`
	Began    int64  `json:"began,omitempty"`    // time of the call
	At       int64  `json:"at,omitempty"`       // of its answer, or of what was seen
	Number   int    `json:"number,omitempty"`   // of the message, as its content carries it
	Call     int    `json:"call,omitempty"`     // number of the first message of its API call; the same number is the same body
	Key      string `json:"key,omitempty"`      // idempotency key of its call
	To       uint64 `json:"to,omitempty"`       // recipient
	ID       string `json:"id,omitempty"`       // of the message
	Seq      uint64 `json:"seq,omitempty"`      //
	Lane     string `json:"lane,omitempty"`     // priority
	Conn     int    `json:"conn,omitempty"`     // which connection, of a phone or a consumer
	Attempt  int    `json:"attempt,omitempty"`  //
	Life     int    `json:"life,omitempty"`     //
	Status   string `json:"status,omitempty"`   // of the message, or what a call was answered
	Reason   string `json:"reason,omitempty"`   // why it has the status
	Node     int    `json:"node,omitempty"`     // that a call was made at
	Spilled  bool   `json:"spilled,omitempty"`  // accepted: on the node's own disk for now, and so without a seq
	Version  int    `json:"version,omitempty"`  // version of an event
	SendAt   int64  `json:"sendAt,omitempty"`   // not before; zero: at once
	TTL      int64  `json:"ttl,omitempty"`      // nanoseconds; zero: for ever
	Quiet    bool   `json:"quiet,omitempty"`    // a message: it was sent before the consumers were there; a connection: it never says a word
	Consumer string `json:"consumer,omitempty"` // event consumer
	Position string `json:"position,omitempty"` // in the event log
	Count    int    `json:"count,omitempty"`    // of what the node says it did
	After    uint64 `json:"after,omitempty"`    // of a Sync
	Limit    int    `json:"limit,omitempty"`    // of a Sync
	Found    []Slot `json:"found,omitempty"`    // by a Sync, in the order of the answer
	Part     string `json:"part,omitempty"`     // of what is under torture, that suffered a fault
	Events   []Mark `json:"events,omitempty"`   // the message's history, in the order of the answer
}

// Slot is one position of an inbox.
type Slot struct {
	Seq    uint64 `json:"seq"`
	Number int    `json:"number"`
	ID     string `json:"id,omitempty"`
}

func (s Slot) String() string { return fmt.Sprintf("{%d %d}", s.Seq, s.Number) }

// Mark is one event of a message's history.
type Mark struct {
	Version int    `json:"version"`
	Life    int    `json:"life"`
	Status  string `json:"status"`
	Attempt int    `json:"attempt,omitempty"`
	At      int64  `json:"at,omitempty"` // by the node's clock
}

// Kind is the kind of an entry. - Called  | a message is about to be sent - Refused  | answered with an error that means
// "not accepted"; Status has its code - Closed  | a phone's connection ended - Absent  | the node answered 404 -
// Replaying  | a replay is about to be called; without an ID: by filter - ReplayedAll Kind | a replay by filter was
// answered; Count is the number of messages - Reset  | a consumer was told that events are lost - Final  | state of a
// message at rest - Dead  | listed as a dead letter at rest - Unlisted Kind | returned by its id but not listed -
// Tripped Kind | Count device breakers are open - Killed Kind | Part was killed - Paused Kind | Part was paused - Cut
// Kind | Part is a link with a fault; Status is the kind of the fault - Wiped  Kind | Part lost all its data
type Kind string

// The kinds of entries.
const (
	Called     Kind = "called"     // a message is about to be offered
	Accepted   Kind = "accepted"   // answered 202
	Mismatched Kind = "mismatched" // its key belongs to another body
	Refused    Kind = "refused"    // answered with an error that means "not taken"; Status has its code
	Unknown    Kind = "unknown"    // no answer

	Opened   Kind = "opened"   // a phone's connection began
	Closed   Kind = "closed"   // it is over
	Received Kind = "received" // by a phone
	Acking   Kind = "acking"   // a phone is about to acknowledge; Status is delivered or read
	Acked    Kind = "acked"    // the acknowledgement was completed
	Synced   Kind = "synced"   // a Sync was answered

	Canceling    Kind = "canceling"    // a cancel is about to be called
	Canceled     Kind = "canceled"     // answered 200
	Uncancelable Kind = "uncancelable" // answered 409
	Absent       Kind = "absent"       // the node answered that there is no such message

	Replaying   Kind = "replaying"   // a replay is about to be called; without an ID: of whatever is dead
	Replayed    Kind = "replayed"    // answered 202: Life and Seq are the new ones
	ReplayedAll Kind = "replayedAll" // a replay without an ID was answered: Count

	Watching Kind = "watching" // a consumer of events connected
	Seen     Kind = "seen"     // a consumer saw an event
	Reset    Kind = "reset"    // a consumer was told that events are gone

	Final    Kind = "final"    // what the node says of a message at rest
	History  Kind = "history"  // its events at rest
	Dead     Kind = "dead"     // it is among the dead letters at rest
	Unlisted Kind = "unlisted" // the node knows it by its id and does not list it

	Tripped Kind = "tripped" // Count breakers of devices were found open

	Killed Kind = "killed" // a Part
	Paused Kind = "paused" // a Part, as it was
	Cut    Kind = "cut"    // a Part that links others; Status says how
	Wiped  Kind = "wiped"  // a Part forgot everything
)
