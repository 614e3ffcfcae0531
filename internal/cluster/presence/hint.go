package presence

import "github.com/esh3artech/esh3ar"

// HintKind says what a hint tells.
type HintKind uint8

// The kinds of hints. The numbers travel between versions and never change their meaning.
const (
	Stored       HintKind = 1 // Seq was stored; with Message, which may be missing
	Acknowledged HintKind = 2 // the messages IDs were acknowledged
	EndedUnacked HintKind = 3 // the message ID ended its life Life without a receipt
)

// Hint is word from one node to another about one recipient. It is speed and never truth: it may be lost, doubled, late,
// or come to a node that does not hold the recipient.
type Hint struct {
	Kind      HintKind
	Hops      uint8 // how often it was sent on already
	Recipient esh3ar.Recipient
	Seq       esh3ar.Seq
	Message   *esh3ar.Message    // of Stored; nil: only the seq is known
	ID        esh3ar.MessageID   // of Stored without a message, and of Lapsed
	Life      esh3ar.Life        // of ID
	IDs       []esh3ar.MessageID // of Ended
}
