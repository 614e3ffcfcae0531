package wire

import "github.com/esh3artech/esh3ar"

// AppendEvent appends a status event, in the form of the history, of event streams and of callbacks.
func AppendEvent(dst []byte, e *esh3ar.Event) []byte {
	o := Begin(dst)
	o.String("eventId", e.ID.String())
	o.Text("messageId", e.Message)
	o.Uint("version", uint64(e.Version))
	o.Uint("life", uint64(e.Life))
	o.String("status", e.Status.String())
	o.Text("occurredAt", e.At)
	o.Text("recipientPhoneNumber", e.Recipient)
	o.Uint("attempt", uint64(e.Attempt))
	o.Optional("correlationId", e.CorrelationID)
	o.Pairs("metadata", e.Metadata)
	o.Optional("failureReason", e.Reason)
	return o.End()
}
