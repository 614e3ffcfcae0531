package esh3ar

import "context"

// Store is the interface of a store engine. Only the conformance suite and the wiring of the program use it as a whole; every other
// package declares the methods that it needs.
//
// Rules for every method:
//   - It is safe for concurrent use.
//   - It does not keep slices that are passed to it; returned slices belong to the caller.
//   - No reader sees a commit before its fsync has returned.
//   - Errors have a Code. StoreUnavailable, StorageFull and Internal mean that nothing was committed, OutcomeUnknown that it may have been.
type Store interface {
	Appender
	Settler
	InboxReader
	MessageReader
	KeyReader
	WaitingCounter
	BacklogCounter
	DeadLetters
	TaskQueue
	EventLog
	RetentionStore
	Verifier
	AccountStore
	CredentialStore
	PlanStore
	UsageStore
}

// Appender stores accepted calls.
type Appender interface {
	// Append commits the calls of a batch, each completely or not at all. When the commit is on durable storage, it returns one answer per
	// call, in the order of the calls. The messages of a call, their inbox entries, their sequence numbers, its idempotency key and the
	// first status events are one atomic change. Sequence numbers follow the order of the calls, and of the messages in a call. Append sets
	// Seq in the messages that it stored.
	//
	// A call whose key is known is not stored again: its answer is Replayed or Mismatched, even if the first call with the key is in the
	// same batch. A message with a SendAt is stored as Scheduled, without a seq, with a task that puts it into its inbox. A message with an
	// ExpiresAt is stored with a task that expires it.
	//
	// A drained call was answered before and cannot be refused. If its messages are stored already, an earlier attempt succeeded and the
	// answer is Replayed. If its key belongs to another call, its messages are stored as Canceled with ReasonDuplicate, without a seq, and
	// the answer is Duplicate. A key that has expired meanwhile is still stored, and so is a message whose TTL has ended: its task expires
	// it.
	Append(ctx context.Context, calls []*Call) ([]Answer, error)
}

// Call is one API call: one message, or a batch that is stored as a whole.
type Call struct {
	Business BusinessID
	Batch    BatchID         // zero for a single message
	Key      *IdempotencyKey // nil if the caller gave none
	Messages []*Message      // with ids that are the same in every attempt; all of Business
	Level    Level           // SLA level of the business
	Drained  bool            // the call comes from a spill and was answered before
}

// Size returns the sum of the sizes of the call's messages, in bytes.
func (c *Call) Size() int {
	n := 0
	for _, m := range c.Messages {
		n += m.Size()
	}
	return n
}

// IdempotencyKey makes a call safe to repeat.
type IdempotencyKey struct {
	Key         string   // as the caller gave it; unique within the business
	Fingerprint [32]byte // SHA-256 over method, path and raw body
	ExpiresAt   Time     // from then on the store treats the key as unknown
}

// Outcome is the result of an appended call.
type Outcome uint8

// The outcomes.
const (
	Stored     Outcome = iota // committed now
	Replayed                  // its key was used before, for the same call: the receipts are those of the first
	Mismatched                // its key was used before, for a different call; nothing was stored
	Duplicate                 // a drained call whose key belongs to another call: stored and canceled
)

// Answer is the answer to one call.
type Answer struct {
	Outcome  Outcome
	Spilled  bool      // durable on this node only; the drain stores it later, so it has no seq yet
	Batch    BatchID   // batch of the stored call
	Receipts []Receipt // one per message, in order; none if Mismatched
}

// Receipt is what the caller is told about an accepted message.
type Receipt struct {
	ID            MessageID
	Seq           Seq // zero if it has none yet
	Status        Status
	Recipient     Recipient
	CorrelationID string
}

// KeyReader looks up idempotency keys.
type KeyReader interface {
	// KnownKey returns the answer of Append to a call with this key, Replayed or Mismatched, and reports whether a committed call has the
	// key. It may not see a call whose commit is still running.
	KnownKey(ctx context.Context, business BusinessID, key *IdempotencyKey) (answer Answer, known bool, err error)
}

// WaitingCounter counts the messages that one business has waiting in an inbox.
type WaitingCounter interface {
	// CountWaiting returns how many of the newest q.Walk undelivered messages in a lane of an inbox are of the business, at most q.Limit.
	// Scheduled messages that are not due are in no inbox.
	CountWaiting(ctx context.Context, q WaitingQuery) (int, error)
}

// BacklogCounter counts the messages in the whole store that are not delivered.
type BacklogCounter interface {
	// Backlog counts each kind, up to most. It reads index rows and may take long, so it is for background work.
	Backlog(ctx context.Context, most int) (Backlog, error)
}

// Backlog counts the messages of a store that are not delivered.
type Backlog struct {
	Undelivered int // messages in an inbox
	Scheduled   int // messages that are not due
	DeadLetters int
}

// WaitingQuery selects what CountWaiting counts.
type WaitingQuery struct {
	Recipient Recipient
	Business  BusinessID
	Lane      Priority
	Limit     int // most messages of the business to count; at least 1
	Walk      int // most messages of all businesses to read; at least 1
}

// Settler changes the progress of stored messages.
type Settler interface {
	// Settle applies the changes in order. When the commit is on durable storage, it returns one result per change. A change and its event
	// are one atomic commit. Several changes of a message in one batch are one row change with several events. A change that does not
	// apply is no error.
	Settle(ctx context.Context, changes []Change) ([]Settled, error)
}

// Change is a change of the status of one message. It applies only if the message exists and belongs to Recipient and Business, all
// conditions of the change hold, and CanBecome allows the status.
type Change struct {
	Message   MessageID
	Recipient Recipient  // zero for any; then Business must be set
	Business  BusinessID // zero for any
	Life      Life       // life that the change is about; zero for the current one
	To        Status     // new status; the zero value, Scheduled, changes no status and only counts an attempt
	Below     Status     // if not zero, the change applies only while the rank is below that of this status; a cancellation uses Sent
	Attempt   int        // number of the attempt, if not zero. With To, Attempts becomes at least this. Without To, the change applies only if Attempts is Attempt-1 and the message has not ended
	At        Time       // when it happened
	Reason    string     // reason, for Failed and Canceled
	Replay    bool       // with To Queued: start the next life of a dead letter, with a new seq, no attempts and a new TTL
	Task      *Task      // if not nil, the change ends this task, and applies only while the task's lease is valid
}

// Settled is the result of one change.
type Settled struct {
	Found     bool // the message exists and belongs to the recipient and the business
	Applied   bool // something changed
	Message   MessageID
	Recipient Recipient // set if Found
	Seq       Seq       // after the change; set if Found; zero if it has none yet
	Progress  Progress  // after the change; set if Found
}

// InboxReader reads the inboxes of recipients.
type InboxReader interface {
	// Pending returns undelivered messages of one recipient from one snapshot: the lanes from the highest priority down, each by rising seq.
	Pending(ctx context.Context, q InboxQuery) (InboxPage, error)
	// Since returns at most limit messages of the recipient with a seq above after and, unless until is zero, at most until, by rising seq.
	// Delivered messages are included, expired and canceled ones are not. It reads every message of the range, so the caller must bound
	// the range.
	Since(ctx context.Context, r Recipient, after, until Seq, limit int) ([]Record, error)
	// Counters returns the highest seq of each recipient, in the given order; zero if the recipient is unknown.
	Counters(ctx context.Context, rs []Recipient) ([]Seq, error)
	// Queued returns at most limit messages that are Queued and were created before a time. It walks all inboxes from next, which is empty
	// for a new walk and else what the previous call returned as following; following is empty at the end of the walk. The result may be
	// stale: it is used for changes of status, which check their conditions.
	Queued(ctx context.Context, before Time, next string, limit int) (refs []MessageRef, following string, err error)
}

// MessageRef refers to a stored message.
type MessageRef struct {
	ID        MessageID
	Recipient Recipient
	Seq       Seq
	Life      Life
}

// InboxQuery bounds one read of an inbox.
type InboxQuery struct {
	Recipient Recipient
	After     [Priorities]Seq  // per lane, only messages above this seq
	Skip      [Priorities]bool // lanes that are not read; they count as not ended
	Limit     int              // messages; at least 1
	Bytes     int              // sum of Message.Size; the first message is returned even if it alone is larger
}

// InboxPage is the result of one read.
type InboxPage struct {
	Records []Record // by lane, highest first, then by seq
	Ended   bool     // every lane was read to its end and none was skipped
	Counter Seq      // the recipient's highest seq in the same snapshot
}

// MessageReader looks up messages.
type MessageReader interface {
	// Message returns a message by id. The error is NotFound if there is none.
	Message(ctx context.Context, id MessageID) (Record, error)
	// Progresses returns the progress of each message, in the given order. Its Life is zero if the message is unknown.
	Progresses(ctx context.Context, refs []MessageRef) ([]Progress, error)
	// List returns a page of a business's messages, newest first.
	List(ctx context.Context, q ListQuery) (ListPage, error)
	// History returns the events of a message, oldest first. The error is NotFound if there is no such message.
	History(ctx context.Context, id MessageID) ([]Event, error)
}

// ListQuery filters and bounds a listing. Zero fields do not filter.
type ListQuery struct {
	Business      BusinessID
	Statuses      []Status
	Recipient     Recipient
	CorrelationID string
	From          Time   // earliest creation, inclusive
	Until         Time   // latest creation, exclusive
	Cursor        string // NextCursor of the previous page; the error is Invalid if it is malformed
	Limit         int    // at least 1
}

// ListPage is one page of a listing. A page may hold fewer than Limit records and still have a NextCursor: a store bounds the rows that one
// call walks over.
type ListPage struct {
	Records    []Record
	NextCursor string // empty at the end
}
