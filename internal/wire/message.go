package wire

import (
	"github.com/esh3artech/esh3ar"
)

// AppendMessage appends a message in the form that phones receive. attempt is the number of its push, from 1.
func AppendMessage(dst []byte, m *esh3ar.Message, attempt int) []byte {
	o := Begin(dst)
	o.Text("id", m.ID)
	o.Uint("seq", uint64(m.Seq))
	o.Text("recipientPhoneNumber", m.Recipient)
	o.String("messageContent", m.Content)
	o.String("subject", m.Subject)
	o.String("from", m.From)
	o.String("priority", m.Priority.String())
	o.Text("createdAt", m.CreatedAt())
	o.Optional("correlationId", m.CorrelationID)
	o.Pairs("metadata", m.Metadata)
	o.Uint("attempt", uint64(attempt))
	return o.End()
}
