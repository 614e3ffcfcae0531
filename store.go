package esh3ar

import "context"

// Store is everything a store engine does. Only the conformance suite and the program's wiring use the union;
// every other package declares the one to three methods it needs.
//
// Rules for every method: safe for concurrent use; slices passed in are not kept after return, slices returned
// belong to the caller; no reader sees a commit before its fsync returned; errors carry a Code, and one of
// StoreUnavailable, StorageFull or Internal means that nothing was committed, OutcomeUnknown that it may have been.
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
	Janitor
	Verifier
	AccountStore
	CredentialStore
	PlanStore
	UsageStore
}

// Appender takes accepted calls into the store.
type Appender interface {
	// Append commits the calls of a batch, each whole or not at all, and returns one answer per call, in the
	// order of the calls, when the commit is on durable storage. A call's messages, their places in the inboxes,
	// their sequence numbers, its idempotency key and the first status events are one atomic change. Sequence
	// numbers follow the order of the calls, and of the messages in a call. A call whose key is known is not
	// stored again: its answer is Replayed or Mismatched, also when the first call with that key is in the same
	// batch. A message with a SendAt is stored as Scheduled, without a seq, and a task will bring it into the inbox; one
	// with an ExpiresAt has a task that ends it. Append sets Seq in the messages it stored.
	//
	// A drained call was answered before and cannot be refused. If its messages are stored already, an earlier try came
	// through: its answer is Replayed. If its key belongs to another call, its messages are stored as Canceled with
	// ReasonDuplicate, without a seq, and its answer is Duplicate. A key that has expired meanwhile is stored all the same,
	// and a message whose time has passed, too: its task ends it.
	Append(ctx context.Context, calls []*Call) ([]Answer, error)
}

// Call is one API call: one message, or a batch that is taken whole.
type Call struct {
	Business BusinessID
	Batch    BatchID         // zero for a single message
	Key      *IdempotencyKey // nil: the caller gave none
	Messages []*Message      // ids made before the first try; all of Business
	Level    Level           // of the business's plan: what is shed first when there is not enough for all
	Drained  bool            // it was answered from a spill before, and comes from there
}

// Size is the sum of the sizes of the call's messages, in bytes.
func (c *Call) Size() int {
	n := 0
	for _, m := range c.Messages {
		n += m.Size()
	}
	return n
}

// IdempotencyKey makes a repeated call harmless.
type IdempotencyKey struct {
	Key         string   // as the caller gave it; scope: the business
	Fingerprint [32]byte // SHA-256 over method, path and raw body
	ExpiresAt   Time     // the store may forget it afterwards, and must treat it as unknown then
}

// Outcome tells what an appended call became.
type Outcome uint8

// The outcomes.
const (
	Stored     Outcome = iota // committed now
	Replayed                  // its key was used before, for the same call: these are the first answer's receipts
	Mismatched                // its key was used before, for another call; nothing was stored
	Duplicate                 // a drained call whose key another call took meanwhile: stored, and canceled
)

// Answer is the store's word on one call.
type Answer struct {
	Outcome  Outcome
	Spilled  bool      // durable on this node alone so far, and drained into the store later: no seq yet
	Batch    BatchID   // of the call that was stored first
	Receipts []Receipt // one per message, in order; none when Mismatched
}

// Receipt is what the caller learns of an accepted message.
type Receipt struct {
	ID            MessageID
	Seq           Seq // zero: none yet
	Status        Status
	Recipient     Recipient
	CorrelationID string
}

// KeyReader looks idempotency keys up without a commit.
type KeyReader interface {
	// KnownKey returns what Append would answer a call of the business with this key, Replayed or Mismatched, and true; or
	// false if no committed call has the key in force. A call that is being committed may not be seen.
	KnownKey(ctx context.Context, business BusinessID, key *IdempotencyKey) (answer Answer, known bool, err error)
}

// WaitingCounter counts what one business has waiting in an inbox.
type WaitingCounter interface {
	// Waiting returns how many undelivered messages of the business are among the newest q.Walk messages that wait in a
	// lane of an inbox, at most q.Limit. Scheduled messages that are not due wait in no inbox.
	Waiting(ctx context.Context, q WaitingQuery) (int, error)
}

// BacklogCounter counts what the whole store still has to do.
type BacklogCounter interface {
	// Backlog counts each kind up to most. It reads keys or index rows, so it may take long: it is for the background.
	Backlog(ctx context.Context, most int) (Backlog, error)
}

// Backlog is what a store still has to do, in messages.
type Backlog struct {
	Undelivered int // in an inbox
	Scheduled   int // not yet in one
	DeadLetters int
}

// WaitingQuery bounds one count.
type WaitingQuery struct {
	Recipient Recipient
	Business  BusinessID
	Lane      Priority
	Limit     int // messages of the business; at least 1
	Walk      int // messages of all businesses that are looked at; at least 1
}

// Settler changes the progress of stored messages.
type Settler interface {
	// Settle applies the changes in order and returns one result per change, when the commit is on durable
	// storage. A change and its event are one atomic commit. Changes of one message in one batch are one row
	// change with several events. A change that does not apply is no error.
	Settle(ctx context.Context, changes []Change) ([]Settled, error)
}

// Change asks for one step of one message. It applies only if the message exists, belongs to Recipient and, where
// given, to Business, all its conditions hold, and the status table allows it.
type Change struct {
	Message   MessageID
	Recipient Recipient  // zero: any (then Business must be given)
	Business  BusinessID // zero: any
	Life      Life       // the life that the change speaks of; zero: the current one
	To        Status     // the status to reach; Scheduled, the zero value, asks for none and only counts an attempt
	Below     Status     // not zero: only while the current rank is below this status's (cancel: below Sent)
	Attempt   int        // not zero: the attempt that this push is. With To: Attempts becomes at least this. Without: only if Attempts is Attempt-1 and the message has not ended
	At        Time       // when it happened
	Reason    string     // for Failed and Canceled
	Replay    bool       // with To Queued: begin the next life, if the message is a dead letter: a new seq, no attempts, its TTL anew
	Task      *Task      // not nil: the change ends this task, and applies only while the task's lease is in force
}

// Settled is the result of one change.
type Settled struct {
	Found     bool // the message exists and is the asked recipient's and business's
	Applied   bool // something changed
	Message   MessageID
	Recipient Recipient // where Found
	Seq       Seq       // after the change, where Found; zero: it has none yet
	Progress  Progress  // after the change, where Found
}

// InboxReader reads what waits for recipients.
type InboxReader interface {
	// Pending reads undelivered messages of one recipient: the lanes from the highest priority down, each in
	// rising seq, all from one snapshot.
	Pending(ctx context.Context, q InboxQuery) (InboxPage, error)
	// Since reads the recipient's messages with a seq above after and, unless until is zero, not above until, in rising
	// seq, delivered ones too, expired and canceled ones not; at most limit of them. It changes nothing. It looks at every
	// message of that range, which the caller bounds.
	Since(ctx context.Context, r Recipient, after, until Seq, limit int) ([]Record, error)
	// Counters gives the highest seq of each recipient, zero for an unknown one, in the order asked.
	Counters(ctx context.Context, rs []Recipient) ([]Seq, error)
	// Queued walks all inboxes for messages that are still Queued and were created before a time, at most limit of
	// them, from where next of the last call points (empty: from the start; empty on return: the walk is over).
	// What it returns can be stale: it feeds status changes, which check.
	Queued(ctx context.Context, before Time, next string, limit int) (refs []MessageRef, following string, err error)
}

// MessageRef points at a stored message.
type MessageRef struct {
	ID        MessageID
	Recipient Recipient
	Seq       Seq
	Life      Life
}

// InboxQuery bounds one read of an inbox.
type InboxQuery struct {
	Recipient Recipient
	After     [Priorities]Seq  // per lane: only messages above this seq
	Skip      [Priorities]bool // lanes not to read now; they count as not ended
	Limit     int              // messages; at least 1
	Bytes     int              // sum of Message.Size; the first message is returned even if it alone is larger
}

// InboxPage is what one read found.
type InboxPage struct {
	Records []Record // by lane, highest first, then by seq
	Ended   bool     // every lane was read to its end, none was skipped
	Counter Seq      // the recipient's highest seq in the same snapshot
}

// MessageReader looks messages up.
type MessageReader interface {
	// Message finds one by id, or NotFound.
	Message(ctx context.Context, id MessageID) (Record, error)
	// Progresses gives where each message stands, in the order asked; a zero Life marks an unknown one.
	Progresses(ctx context.Context, refs []MessageRef) ([]Progress, error)
	// List pages through a business's messages, newest first.
	List(ctx context.Context, q ListQuery) (ListPage, error)
	// History gives the events of one message, oldest first, or NotFound.
	History(ctx context.Context, id MessageID) ([]Event, error)
}

// ListQuery filters and bounds a listing; zero fields do not filter.
type ListQuery struct {
	Business      BusinessID
	Statuses      []Status
	Recipient     Recipient
	CorrelationID string
	From          Time   // inclusive
	Until         Time   // exclusive
	Cursor        string // NextCursor of the page before; a bad one is Invalid
	Limit         int    // at least 1
}

// ListPage is one page of a listing. A page may hold fewer than Limit and still have a NextCursor: a store
// bounds how many rows one call walks over.
type ListPage struct {
	Records    []Record
	NextCursor string // empty at the end
}
