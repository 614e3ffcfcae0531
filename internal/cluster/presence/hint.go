package presence

import "github.com/esh3artech/esh3ar"

// HintKind is the kind of a hint.
type HintKind uint8

// The kinds of hints. Their numbers are part of the wire format and never change meaning.
const (
	Stored       HintKind = 1 // a message was stored: Seq, and Message if it is small enough
	Acknowledged HintKind = 2 // the messages IDs were acknowledged
	EndedUnacked HintKind = 3 // the message ID ended its life Life without an acknowledgement
)

// Hint is a notification from one node to another about one recipient. Hints only save time: a hint may be lost, duplicated or
// late, or reach a node that does not have the recipient.
type Hint struct {
	Kind      HintKind
	Hops      uint8 // number of times that it was forwarded
	Recipient esh3ar.Recipient
	Seq       esh3ar.Seq
	Message   *esh3ar.Message    // set for Stored; nil if only the sequence number is known
	ID        esh3ar.MessageID   // set for EndedUnacked, and for Stored without a message
	Life      esh3ar.Life        // life of the message ID
	IDs       []esh3ar.MessageID // set for Acknowledged
}
