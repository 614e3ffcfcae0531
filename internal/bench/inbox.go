package bench

import "github.com/esh3artech/esh3ar/internal/signalrclient"

// inbox holds what one phone has received over all its connections. Only its reader uses it.
type inbox struct {
	ledger *ledger
	sends  bool   // acknowledge without requesting a completion
	last   uint64 // seq of the newest first delivery
	asked  []int  // numbers of messages in the acknowledgements that are not completed, oldest first
}

// read receives and acknowledges messages until the connection ends. It returns the reason of the end.
func (b *inbox) read(p *signalrclient.Conn) (err error) {
	var events []signalrclient.Event
	for {
		if events, err = p.Next(events[:0], false); err != nil {
			return err
		}
		for i := range events {
			b.complete(&events[i])
			b.take(events[i].Messages)
			if err := b.acknowledge(p, events[i].Messages); err != nil {
				return err
			}
		}
	}
}

// complete counts the messages of an acknowledgement that the node has confirmed. A node completes the invocations of a
// connection in order; if it did not, only the moment of the count would differ.
func (b *inbox) complete(e *signalrclient.Event) {
	if e.Completion == "" || len(b.asked) == 0 {
		return
	}
	if e.Error == "" {
		b.ledger.settled.Add(int64(b.asked[0]))
	}
	b.asked = b.asked[1:]
}

// take records messages in the ledger.
func (b *inbox) take(messages []signalrclient.Message) {
	for _, m := range messages {
		if !b.ledger.arrived(numberOf(m.Content)) {
			continue
		}
		if m.Seq < b.last { // all messages have one priority
			b.ledger.disorder.Add(1)
		}
		b.last = m.Seq
	}
}

// acknowledge acknowledges messages, with or without a completion that confirms durability.
func (b *inbox) acknowledge(p *signalrclient.Conn, messages []signalrclient.Message) (err error) {
	method, arguments := "AcknowledgeMessage", ""
	switch len(messages) {
	case 0:
		return nil
	case 1:
		arguments = `["` + messages[0].ID + `"]`
	default:
		ids := []byte(`[[`)
		for i, m := range messages {
			if i > 0 {
				ids = append(ids, ',')
			}
			ids = append(append(append(ids, '"'), m.ID...), '"')
		}
		method, arguments = "AcknowledgeMessages", string(append(ids, `]]`...))
	}
	if b.sends {
		return p.Send(method, arguments)
	}
	b.asked = append(b.asked, len(messages))
	_, err = p.Invoke(method, arguments)
	return err
}
