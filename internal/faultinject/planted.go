// Package faultinject names the faults that a build with the tag plantedfaults can contain on purpose. They show that
// the tests detect real mistakes: a test plants one fault through the environment and expects a check to fail. In every
// other build Is returns false at compile time and the fault code is eliminated.
package faultinject

// Fault is a plausible programming mistake.
type Fault string

// The faults and their effects. - AnswerBeforeFsync    Fault | commits are written but not synced: a power cut loses
// answered messages - PublishBeforeCommit  Fault | callers are answered and hints are sent before the commit -
// KeyForgotten  | idempotency keys are not stored - EventsTurnedAround  | two events of one commit are swapped -
// LeaseIgnored  | a node that lost the lease of a task may still complete it - PurgeUnfinished  | retention deletes old
// messages that are not final - CursorTooFar  | a session that read half a lane considers itself caught up - SweepOff  |
// lost hints are never repaired - RetryForgets  | attempts are not counted: a poison message is retried forever -
// DeadSocketSpends  | attempts are spent on disconnected phones - BreakerStuck  | an open device breaker never becomes
// half open - OrderLost  | a refused push is not read again in its original position - StreamSkips  | an event stream
// that falls behind skips events - HintIsTruth  | a session treats a hint above the next number as proof of all numbers
// up to it - HintBelieved  | a session reads until it finds the hinted message, even if it does not exist -
// AbsentTrusted  | a recipient whose lookup failed is treated as absent - StaleEntryKept  | presence entries that point
// to the wrong node are not removed - HopsForgotten  | an undeliverable hint is forwarded forever - MarksForgotten  |
// presence that changes during its update is not updated again - GapLeftOpen  | messages stored just before the presence
// entry are not searched for - RemoteEndIgnored  | acknowledgements on other nodes do not free window slots - WalkAlone
// | a node treats recipients without a local session as absent - SpillBeforeFsync  | a call is answered from the spill
// before its fsync - SpillForgets  | messages that a drain could not store are removed from the spill - SpillOvertaken
// | newer messages overtake spilled messages of the same recipient - FenceIgnored  | a node that lost the lease of a
// task in the shared store may still complete it - DrainIgnoresKeys  | a drained call does not check the owner of its
// key
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

// All returns all faults.
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
