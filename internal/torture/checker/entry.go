package checker

import "fmt"

// Entry is one line of the ledger: an external observation. Kind determines which fields are set.
//
// Times are nanoseconds since 1970 of one monotonic clock. A call began at Began and was answered at At.
type Entry struct {
	Kind     Kind   `json:"kind"`
	Began    int64  `json:"began,omitempty"`    // time of the call
	At       int64  `json:"at,omitempty"`       // time of the answer or the observation
	Number   int    `json:"number,omitempty"`   // of the message, as its content carries it
	Call     int    `json:"call,omitempty"`     // number of the first message of its API call; equal numbers mean equal bodies
	Key      string `json:"key,omitempty"`      // idempotency key of its call
	To       uint64 `json:"to,omitempty"`       // recipient
	ID       string `json:"id,omitempty"`       // of the message
	Seq      uint64 `json:"seq,omitempty"`      //
	Lane     string `json:"lane,omitempty"`     // priority
	Conn     int    `json:"conn,omitempty"`     // number of the connection of a phone or a consumer
	Attempt  int    `json:"attempt,omitempty"`  //
	Life     int    `json:"life,omitempty"`     //
	Status   string `json:"status,omitempty"`   // status of the message, or status code of the answer
	Reason   string `json:"reason,omitempty"`   // reason of the status
	Node     int    `json:"node,omitempty"`     // number of the node that was called
	Spilled  bool   `json:"spilled,omitempty"`  // accepted into the node's spill, and so without a seq
	Version  int    `json:"version,omitempty"`  // version of an event
	SendAt   int64  `json:"sendAt,omitempty"`   // earliest delivery; zero: at once
	TTL      int64  `json:"ttl,omitempty"`      // time to live in nanoseconds; zero: unlimited
	Quiet    bool   `json:"quiet,omitempty"`    // message: sent before all consumers were connected; connection: it never sends
	Consumer string `json:"consumer,omitempty"` // event consumer
	Position string `json:"position,omitempty"` // in the event log
	Count    int    `json:"count,omitempty"`    // number that the node reports
	After    uint64 `json:"after,omitempty"`    // of a Sync
	Limit    int    `json:"limit,omitempty"`    // of a Sync
	Found    []Slot `json:"found,omitempty"`    // by a Sync, in the order of the answer
	Part     string `json:"part,omitempty"`     // part of the fleet that suffered a fault
	Events   []Mark `json:"events,omitempty"`   // history of the message, in the order of the answer
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

// Kind is the kind of an entry.
type Kind string

// The kinds of entries.
const (
	Called     Kind = "called"     // a message is about to be sent
	Accepted   Kind = "accepted"   // answered 202
	Mismatched Kind = "mismatched" // its key belongs to another body
	Refused    Kind = "refused"    // answered with an error that means "not accepted"; Status has its code
	Unknown    Kind = "unknown"    // no answer

	Opened   Kind = "opened"   // a phone's connection began
	Closed   Kind = "closed"   // a phone's connection ended
	Received Kind = "received" // by a phone
	Acking   Kind = "acking"   // a phone is about to acknowledge; Status is delivered or read
	Acked    Kind = "acked"    // the acknowledgement was completed
	Synced   Kind = "synced"   // a Sync was answered

	Canceling    Kind = "canceling"    // a cancel is about to be called
	Canceled     Kind = "canceled"     // answered 200
	Uncancelable Kind = "uncancelable" // answered 409
	Absent       Kind = "absent"       // the node answered 404

	Replaying   Kind = "replaying"   // a replay is about to be called; without an ID: by filter
	Replayed    Kind = "replayed"    // answered 202: Life and Seq are the new ones
	ReplayedAll Kind = "replayedAll" // a replay by filter was answered; Count is the number of messages

	Watching Kind = "watching" // a consumer of events connected
	Seen     Kind = "seen"     // a consumer saw an event
	Reset    Kind = "reset"    // a consumer was told that events are lost

	Final    Kind = "final"    // state of a message at rest
	History  Kind = "history"  // its events at rest
	Dead     Kind = "dead"     // listed as a dead letter at rest
	Unlisted Kind = "unlisted" // returned by its id but not listed

	Tripped Kind = "tripped" // Count device breakers are open

	Killed Kind = "killed" // Part was killed
	Paused Kind = "paused" // Part was paused
	Cut    Kind = "cut"    // Part is a link with a fault; Status is the kind of the fault
	Wiped  Kind = "wiped"  // Part lost all its data
)
