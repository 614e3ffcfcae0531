package delivery

import "github.com/esh3artech/esh3ar"

// Push is one message on its way to a phone.
type Push struct {
	Message *esh3ar.Message
	Attempt int // 1 the first time, one more with each repeat

	known bool        // the store has it as sent already
	life  esh3ar.Life // of a repeat
}

// Batch is what leaves for one connection in one write.
type Batch struct {
	Live   bool // news; otherwise the backlog
	Pushes []Push
}

// effects are what a step asks of the world. The shell carries them out and feeds back what came of it: pushed or
// refused for the batch, page for the read, settled for each settlement, reloaded for each reload.
type effects struct {
	batch   Batch
	repeat  *Push // alone in its batch
	read    *esh3ar.InboxQuery
	settles []settlement
	reloads []messageLife
	ended   []esh3ar.MessageID // tell the recipient's other connections
	lapsed  []messageLife      // the same, of what ended without a receipt
	done    []completion
	verdict verdict // on the device
	probe   uint32  // number of a probe of the connection; 0: none
	swept   bool    // the sweep named a message that no hint had
	culprit suspect // with a verdict: the message that was alone on the connection; zero: none
	refresh bool    // the phone should connect again
}

// messageLife is a message in one of its lives: what was begun in one says nothing of the next.
type messageLife struct {
	id   esh3ar.MessageID
	life esh3ar.Life
}

// verdict is what a connection tells the breaker of its device.
type verdict uint8

const (
	none      verdict = iota
	healthy           // it acknowledged
	failing           // it ended soon after a push without having acknowledged anything
	stalling          // it has not acknowledged a message that was alone
	cleared           // it acknowledged a suspect's message that was alone
	recovered         // its trial is over
)

// settlement is one request to the settler; all its changes are in one commit.
type settlement struct {
	changes []esh3ar.Change
	ticket  ticket
	unknown int // ids among the changes that the session does not know; they go the slow way
}

// ticket comes back with the result of a settlement.
type ticket struct {
	kind ticketKind
	ids  []esh3ar.MessageID // entries of the window that are acknowledged by it
	join []esh3ar.MessageID // entries whose acknowledgement was under way before
	read bool               // it is a read receipt as well
	one  messageLife        // whose attempt was counted
	call func(error)        // the phone's call, completed by the result; may be nil
}

type ticketKind uint8

const (
	sentTicket    ticketKind = iota // nobody waits for it
	ackTicket                       // acknowledgement by the phone
	attemptTicket                   // the next attempt was counted
	failTicket                      // the last attempt was spent
)

// completion ends a call of the phone.
type completion struct {
	call func(error)
	err  error
}

func (fx *effects) complete(call func(error), err error) {
	if call != nil {
		fx.done = append(fx.done, completion{call, err})
	}
}

// reset makes fx ready for the next step; nothing of it may be in use then.
func (fx *effects) reset() { *fx = effects{} }
