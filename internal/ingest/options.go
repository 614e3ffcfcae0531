package ingest

import (
	"cmp"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ingest/admission"
)

// Options configure an Intake. A field's zero value selects its default.
type Options struct {
	LaneMessages  int              // messages that may wait in one lane; default 20,000
	LaneBytes     int              // bytes that may wait in one lane; default 64 MiB
	BatchMessages int              // messages in one commit; default 1,000; a larger call is committed alone
	BatchBytes    int              // bytes in one commit; default 4 MiB
	Linger        time.Duration    // longest wait of a small batch for more calls; default 1 ms
	LaneTimeout   time.Duration    // longest wait of a call in a lane; default 5 s
	OnCommit      func(CommitInfo) // called after each commit; must be quick; default: does nothing

	// Bounds and inputs of the admission controller.
	Rate             float64        // declared capacity in messages per second; default: none
	MinInFlight      int            // lowest limit on messages in flight; default 32, or LaneMessages if that is less
	MaxInFlight      int            // highest limit on messages in flight; default: all lanes full
	Target           time.Duration  // latency that the limit aims at; default 4 ms: a fifth of the budget of a call, of which most is elsewhere
	AdmissionTimeout time.Duration  // longest wait in the admission queue; default 1 s
	RunnablePerCPU   func() float64 // goroutines that wait for a processor, per processor; called up to 5,000 times a second; default: returns 0
	MemoryUsed       func() float64 // share of the process's memory in use; called up to 100 times a second; must be quick; default: returns 0

	// Spill takes the calls that the store cannot take now; nil if there is none, then these calls are refused. The fields below apply
	// only with a spill.
	Spill        spill
	StoreTimeout time.Duration   // longest commit before its outcome counts as unknown; default 3 s
	LaneMemory   int             // bytes that may wait in all lanes together; default 128 MiB
	OnStoreAway  func(away bool) // called when the store stops answering and when it answers again; must be quick; default: does nothing
}

// CommitInfo describes one commit of the intake.
type CommitInfo struct {
	Messages int           // messages stored
	Spilled  int           // messages written to the spill instead
	Waited   time.Duration // wait of the oldest call until the commit began
	Took     time.Duration // duration of the commit
	Err      error         // error of the commit; nil if it succeeded
}

// LaneStats describes a lane at one moment.
type LaneStats struct {
	Priority esh3ar.Priority
	Messages int // messages in the lane
	Bytes    int // bytes in the lane
	Overflow int // messages in the lane's overflow
}

// lingerBatch is the number of messages from which on a batch does not linger: its fsync is shared well enough.
const lingerBatch = 64

func (o Options) withDefaults() Options {
	o.LaneMessages = cmp.Or(o.LaneMessages, 20_000)
	o.LaneBytes = cmp.Or(o.LaneBytes, 64<<20)
	o.BatchMessages = cmp.Or(o.BatchMessages, 1000)
	o.BatchBytes = cmp.Or(o.BatchBytes, 4<<20)
	o.Linger = cmp.Or(o.Linger, time.Millisecond)
	o.LaneTimeout = cmp.Or(o.LaneTimeout, 5*time.Second)
	o.MinInFlight = cmp.Or(o.MinInFlight, min(lingerBatch/2, o.LaneMessages))
	o.MaxInFlight = cmp.Or(o.MaxInFlight, o.LaneMessages*esh3ar.Priorities)
	o.AdmissionTimeout = cmp.Or(o.AdmissionTimeout, time.Second)
	o.Target = cmp.Or(o.Target, 4*time.Millisecond)
	o.StoreTimeout = cmp.Or(o.StoreTimeout, 3*time.Second)
	o.LaneMemory = cmp.Or(o.LaneMemory, 128<<20)
	if o.RunnablePerCPU == nil {
		o.RunnablePerCPU = func() float64 { return 0 }
	}
	if o.MemoryUsed == nil {
		o.MemoryUsed = func() float64 { return 0 }
	}
	if o.OnStoreAway == nil {
		o.OnStoreAway = func(bool) {}
	}
	if o.OnCommit == nil {
		o.OnCommit = func(CommitInfo) {}
	}
	return o
}

// admission returns the options of the admission controller.
func (o *Options) admission() admission.Options {
	return admission.Options{
		QueueMessages: o.LaneMessages, QueueBytes: o.LaneBytes, MinInFlight: o.MinInFlight, MaxInFlight: o.MaxInFlight, Target: o.Target,
		LongWait: o.AdmissionTimeout / 2, Rate: o.Rate, RunnablePerCPU: o.RunnablePerCPU, MemoryUsed: o.MemoryUsed,
	}
}
