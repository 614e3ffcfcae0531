// Package faultinject names the faults that can be built into the platform on purpose, so that its proofs can be proven: a
// test builds with the tag plantedfaults, plants one fault at a time by the environment, and sees that a proof goes red.
// In every other build Is is false at compile time and nothing of a fault is left.
package faultinject

// Fault is a mistake that somebody could have made.
type Fault string

// The faults, each with what it would do.
const (
	AnswerBeforeFsync    Fault = "answer-before-fsync"   // commits are written and not synced: a power cut loses what was answered
	PublishBeforeCommit  Fault = "publish-before-commit" // callers are answered and phones hinted while the commit is under way
	ReaderPastSync       Fault = "reader-past-sync"      // readers see a commit before its fsync
	SeqReused            Fault = "seq-reused"            // a restart forgets the last sequence number of a recipient
	KeyForgotten         Fault = "key-forgotten"         // idempotency keys are not stored
	HalfABatch           Fault = "half-a-batch"          // the last message of a batch call is not stored
	SettleWithoutEvent   Fault = "settle-without-event"  // the status delivered has no event
	EventsTurnedAround   Fault = "events-turned-around"  // two steps of one commit change places
	LeaseIgnored         Fault = "lease-ignored"         // whoever lost the lease of a task may still end it
	PurgeUnfinished      Fault = "purge-unfinished"      // retention deletes what is old, also where it waits
	ReplayOutsideTheLane Fault = "replay-outside-inbox"  // a replayed message does not enter the undelivered index
	ExpiredPushed        Fault = "expired-pushed"        // messages are pushed after their time to live
	CursorTooFar         Fault = "cursor-too-far"        // a session that read half a lane believes that it is caught up
	SweepOff             Fault = "sweep-off"             // lost hints are never made good
	RetryForgets         Fault = "retry-forgets"         // attempts are not counted: a poison message loops for ever
	DeadSocketSpends     Fault = "dead-socket-spends"    // attempts are spent on phones that are not there
	BreakerStuck         Fault = "breaker-stuck"         // an open breaker of a device never half opens
	AckBeforeCommit      Fault = "ack-before-commit"     // acknowledgements are completed before they are durable
	OrderLost            Fault = "order-lost"            // a refused push is not read again in its place
	StreamSkips          Fault = "stream-skips"          // a stream of events that falls behind loses what it missed
	LogPastRunning       Fault = "log-past-running"      // readers of a shared event log do not wait for older transactions
	HintIsTruth          Fault = "hint-is-truth"         // a session takes a hint above the next number for all up to it
	HintBelieved         Fault = "hint-believed"         // a session reads until it finds what a hint named, whether it exists or not
	AbsentTrusted        Fault = "absent-trusted"        // who could not be looked up is taken for absent
	StaleEntryKept       Fault = "stale-entry-kept"      // presence that leads hints to the wrong node is not taken back
	HopsForgotten        Fault = "hops-forgotten"        // a hint that finds nobody is sent on without end
	MarksForgotten       Fault = "marks-forgotten"       // presence that changes while it is being said is not said again
	GapLeftOpen          Fault = "gap-left-open"         // what was stored just before somebody was said to be here is not looked for
	RemoteEndIgnored     Fault = "remote-end-ignored"    // acknowledgements on other nodes do not free the window
	WalkAlone            Fault = "walk-alone"            // a node takes for absent whoever it does not hold itself
	SpillBeforeFsync     Fault = "spill-before-fsync"    // a call is answered from a spill that has not synced it
	SpillForgets         Fault = "spill-forgets"         // what a drain could not bring to the store leaves the spill all the same
	SpillOvertaken       Fault = "spill-overtaken"       // newer messages go past those of their recipient in the spill
	FenceIgnored         Fault = "fence-ignored"         // whoever lost the lease of a task in the shared store may still end it
	DrainIgnoresKeys     Fault = "drain-ignores-keys"    // a drained call does not ask whose its key is
)

// All lists them.
func All() []Fault {
	return []Fault{
		AnswerBeforeFsync, PublishBeforeCommit, ReaderPastSync, SeqReused, KeyForgotten, HalfABatch, SettleWithoutEvent,
		EventsTurnedAround, LeaseIgnored, PurgeUnfinished, ReplayOutsideTheLane, ExpiredPushed, CursorTooFar, SweepOff,
		RetryForgets, DeadSocketSpends, BreakerStuck, AckBeforeCommit, OrderLost, StreamSkips, LogPastRunning,
		HintIsTruth, HintBelieved, AbsentTrusted, StaleEntryKept, HopsForgotten, MarksForgotten, GapLeftOpen, RemoteEndIgnored, WalkAlone,
		SpillBeforeFsync, SpillForgets, SpillOvertaken, DrainIgnoresKeys, FenceIgnored,
	}
}

// Variable is the environment variable that plants a fault in a build with the tag.
const Variable = "ESH3AR_PLANTED_FAULT"
