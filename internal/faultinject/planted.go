// Package faultinject names the faults that a build with the tag plantedfaults can contain on purpose. They show that
// the tests detect real mistakes: a test plants one fault through the environment and expects a check to fail. In every
// other build Is returns false at compile time and the fault code is eliminated.
package faultinject

// Fault is a plausible programming mistake.
type Fault string

// The faults and their effects.
const (
	AnswerBeforeFsync    Fault = "answer-before-fsync"   // commits are written but not synced: a power cut loses answered messages
	PublishBeforeCommit  Fault = "publish-before-commit" // callers are answered and hints are sent before the commit
	ReaderPastSync       Fault = "reader-past-sync"      // readers see a commit before its fsync
	SeqReused            Fault = "seq-reused"            // a restart forgets the last sequence number of a recipient
	KeyForgotten         Fault = "key-forgotten"         // idempotency keys are not stored
	HalfABatch           Fault = "half-a-batch"          // the last message of a batch call is not stored
	SettleWithoutEvent   Fault = "settle-without-event"  // the status delivered has no event
	EventsTurnedAround   Fault = "events-turned-around"  // two events of one commit are swapped
	LeaseIgnored         Fault = "lease-ignored"         // a node that lost the lease of a task may still complete it
	PurgeUnfinished      Fault = "purge-unfinished"      // retention deletes old messages that are not final
	ReplayOutsideTheLane Fault = "replay-outside-inbox"  // a replayed message does not enter the undelivered index
	ExpiredPushed        Fault = "expired-pushed"        // messages are pushed after their time to live
	CursorTooFar         Fault = "cursor-too-far"        // a session that read half a lane considers itself caught up
	SweepOff             Fault = "sweep-off"             // lost hints are never repaired
	RetryForgets         Fault = "retry-forgets"         // attempts are not counted: a poison message is retried forever
	DeadSocketSpends     Fault = "dead-socket-spends"    // attempts are spent on disconnected phones
	BreakerStuck         Fault = "breaker-stuck"         // an open device breaker never becomes half open
	AckBeforeCommit      Fault = "ack-before-commit"     // acknowledgements are completed before they are durable
	OrderLost            Fault = "order-lost"            // a refused push is not read again in its original position
	StreamSkips          Fault = "stream-skips"          // an event stream that falls behind skips events
	LogPastRunning       Fault = "log-past-running"      // readers of a shared event log do not wait for older transactions
	HintIsTruth          Fault = "hint-is-truth"         // a session treats a hint above the next number as proof of all numbers up to it
	HintBelieved         Fault = "hint-believed"         // a session reads until it finds the hinted message, even if it does not exist
	AbsentTrusted        Fault = "absent-trusted"        // a recipient whose lookup failed is treated as absent
	StaleEntryKept       Fault = "stale-entry-kept"      // presence entries that point to the wrong node are not removed
	HopsForgotten        Fault = "hops-forgotten"        // an undeliverable hint is forwarded forever
	MarksForgotten       Fault = "marks-forgotten"       // presence that changes during its update is not updated again
	GapLeftOpen          Fault = "gap-left-open"         // messages stored just before the presence entry are not searched for
	RemoteEndIgnored     Fault = "remote-end-ignored"    // acknowledgements on other nodes do not free window slots
	WalkAlone            Fault = "walk-alone"            // a node treats recipients without a local session as absent
	SpillBeforeFsync     Fault = "spill-before-fsync"    // a call is answered from the spill before its fsync
	SpillForgets         Fault = "spill-forgets"         // messages that a drain could not store are removed from the spill
	SpillOvertaken       Fault = "spill-overtaken"       // newer messages overtake spilled messages of the same recipient
	FenceIgnored         Fault = "fence-ignored"         // a node that lost the lease of a task in the shared store may still complete it
	DrainIgnoresKeys     Fault = "drain-ignores-keys"    // a drained call does not check the owner of its key
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
