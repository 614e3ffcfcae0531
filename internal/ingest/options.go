package ingest

import (
	"time"

	"github.com/esh3artech/esh3ar"
)

// Options tune an Intake; the zero value of a field means its default.
type Options struct {
	LaneMessages  int           // messages that may wait in one lane; default 20,000
	LaneBytes     int           // bytes that may wait in one lane; default 64 MiB
	BatchMessages int           // messages in one commit; default 1,000; a larger call goes alone
	BatchBytes    int           // bytes in one commit; default 4 MiB
	Linger        time.Duration // how long a small batch waits for company; default 1 ms
	LaneTimeout   time.Duration // how long a caller waits to be taken; default 5 s
	OnCommit      func(CommitInfo)

	// How many messages are worked on at once follows the store, between bounds; who comes beyond waits at the door.
	Rate             float64        // messages per second that are admitted at most; default: as many as can be stored
	MinInFlight      int            // default 32, or LaneCalls
	MaxInFlight      int            // default 4 LaneCalls: all lanes full
	Target           time.Duration  // in which an admitted message should be stored; default 4 ms
	AdmissionTimeout time.Duration  // how long a caller waits to be admitted; default 1 s
	RunnablePerCPU   func() float64 // goroutines that wait for a processor, for each; asked up to 5,000 times a second; default: not known
	MemoryUsed       func() float64 // share of the process's memory in use; must be quick; default: not known

	// Spill takes what the store cannot take now; nil: there is none, and its callers hear so. The fields below count only
	// with a spill.
	Spill        spill
	StoreTimeout time.Duration // after which a commit is taken for one of unknown outcome; default 3 s
	LaneMemory   int           // bytes that may wait in all lanes together; default 128 MiB
	OnStoreAway  func(bool)    // told when the store stops answering, and when it answers again; must be quick
}

// CommitInfo describes one commit of the intake.
type CommitInfo struct {
	Messages int           // stored
	Spilled  int           // messages kept on this node's disk instead
	Waited   time.Duration // of the call that waited longest
	Took     time.Duration // the append
	Err      error
}

// enough is the batch that does not wait for company: its fsync is shared well already.
const enough = 64

// businessShare is the part of a lane that one business may fill.
const businessShare = 4

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		value  *int
		normal int
	}{
		{&o.LaneMessages, 20_000}, {&o.LaneBytes, 64 << 20}, {&o.BatchMessages, 1000}, {&o.BatchBytes, 4 << 20}, {&o.LaneMemory, 128 << 20},
	} {
		if *d.value == 0 {
			*d.value = d.normal
		}
	}
	if o.Linger == 0 {
		o.Linger = time.Millisecond
	}
	if o.LaneTimeout == 0 {
		o.LaneTimeout = 5 * time.Second
	}
	if o.MinInFlight == 0 {
		o.MinInFlight = min(enough/2, o.LaneMessages)
	}
	if o.MaxInFlight == 0 {
		o.MaxInFlight = o.LaneMessages * esh3ar.Priorities
	}
	if o.AdmissionTimeout == 0 {
		o.AdmissionTimeout = time.Second
	}
	if o.Target == 0 {
		o.Target = 4 * time.Millisecond
	}
	if o.RunnablePerCPU == nil {
		o.RunnablePerCPU = func() float64 { return 0 }
	}
	if o.MemoryUsed == nil {
		o.MemoryUsed = func() float64 { return 0 }
	}
	if o.StoreTimeout == 0 {
		o.StoreTimeout = 3 * time.Second
	}
	if o.OnStoreAway == nil {
		o.OnStoreAway = func(bool) {}
	}
	if o.OnCommit == nil {
		o.OnCommit = func(CommitInfo) {}
	}
	return o
}

// LaneStats is how full a lane is.
type LaneStats struct {
	Priority esh3ar.Priority
	Messages int
	Bytes    int
	Overflow int // messages of callers that wait for room
}
