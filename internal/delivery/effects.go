package delivery

import "github.com/esh3artech/esh3ar"

// Push is one message on its way to a phone.
type Push struct {
	Message *esh3ar.Message
	Attempt int // number of the delivery attempt; 1 for the first

	known bool        // the store already has the message as sent or later
	life  esh3ar.Life // life of the message; set for repeats only
}

// Batch is the messages that one write sends to a connection.
type Batch struct {
	Live   bool // messages that were just committed; false for the backlog
	Pushes []Push
}

// effects are the actions that one step of the state machine requests. The state machine itself does no I/O: a worker
// executes the effects and reports each result in a later step. The result is pushed or refused for the batch, redelivered
// for the repeat, page for the read, settled for each settlement, and reloaded for each reload. The zero value requests
// nothing.
type effects struct {
	batch   Batch              // messages to push; none if it has no pushes
	repeat  *Push              // message to push again, in a write of its own; nil: none
	read    *esh3ar.InboxQuery // page of the inbox to read; nil: none
	settles []settlement       // status changes to commit, in this order
	reloads []messageLife      // messages to read from the store by their id
	ended   []esh3ar.MessageID // acknowledged messages; the recipient's other connections drop them
	lapsed  []messageLife      // messages that ended without a receipt; the other connections drop them too
	done    []completion       // calls of the phone to complete
	verdict verdict            // on the device; none if the step says nothing about it
	probe   uint32             // number of a probe of the connection; zero: none
	swept   bool               // the sweep found a message that no hint had announced
	culprit suspect            // with a verdict: the only unacknowledged message of the connection; zero: none
	refresh bool               // ask the phone to connect again
}

// messageLife names one life of a message. A replayed dead letter begins a new life, and results of an earlier life do not
// apply to it.
type messageLife struct {
	id   esh3ar.MessageID
	life esh3ar.Life
}

// verdict is what a connection reports to the circuit breaker of its device.
type verdict uint8

const (
	none      verdict = iota
	healthy           // the phone acknowledged a message
	failing           // the phone closed soon after a push and acknowledged nothing
	stalling          // the phone did not acknowledge, within the patience, a message that was pushed alone
	cleared           // the phone acknowledged a message of a suspect that was pushed alone
	recovered         // the trial of the device is over
)

// settlement is one request to the settler. All of its changes are part of the same commit.
type settlement struct {
	changes []esh3ar.Change
	ticket  ticket
	unknown int // number of changes whose ids the session does not know; if any, the rate-limited unknownQueue takes it
}

// ticket identifies a settlement. The settler returns it with the result.
type ticket struct {
	kind ticketKind
	ids  []esh3ar.MessageID // entries of the window that this settlement acknowledges
	join []esh3ar.MessageID // entries that an earlier settlement, still in flight, acknowledges
	read bool               // it is also a read receipt
	one  messageLife        // message whose attempt was recorded; for attemptTicket and failTicket
	call func(error)        // call of the phone to complete with the result; may be nil
}

// ticketKind is the purpose of a settlement.
type ticketKind uint8

const (
	sentTicket    ticketKind = iota // messages were pushed; the session does not wait for the result
	ackTicket                       // the phone acknowledged messages
	attemptTicket                   // the next attempt is recorded before the repeat is pushed
	failTicket                      // the last attempt failed; the message becomes a dead letter
)

// completion is a call of the phone and its result.
type completion struct {
	call func(error)
	err  error
}

// complete adds a completion. It does nothing if call is nil.
func (fx *effects) complete(call func(error), err error) {
	if call != nil {
		fx.done = append(fx.done, completion{call, err})
	}
}

// reset clears fx for the next step. The slices are not reused, because the caller may still hold a copy of fx.
func (fx *effects) reset() { *fx = effects{} }
