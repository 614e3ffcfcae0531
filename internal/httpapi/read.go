package httpapi

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/wire"
)

// ownMessage returns the message that the path names. A message of another business is not found.
func (a *API) ownMessage(x *exchange) (esh3ar.Record, error) {
	id, err := esh3ar.ParseMessageID(x.params[0])
	if err != nil {
		return esh3ar.Record{}, messageNotFound(x)
	}
	record, err := a.Store.Message(x.r.Context(), id)
	if err != nil && esh3ar.CodeOf(err) == esh3ar.NotFound {
		return esh3ar.Record{}, a.unknownMessage(x)
	}
	if err == nil && record.Business != x.caller.Business {
		return esh3ar.Record{}, a.unknownMessage(x) // the same answer as for an unknown id
	}
	return record, err
}

// messageNotFound returns the same problem for an unknown id and a message of another business, so that a caller cannot
// tell them apart.
func messageNotFound(x *exchange) error { return notFound.problem("no message " + x.params[0]) }

// getMessage implements GET /v1/messages/{id}.
func (a *API) getMessage(x *exchange) error {
	record, err := a.ownMessage(x)
	if err != nil {
		return err
	}
	return x.answerRecord(&record)
}

// messageHistory implements GET /v1/messages/{id}/events.
func (a *API) messageHistory(x *exchange) error {
	record, err := a.ownMessage(x)
	if err != nil {
		return err
	}
	events, err := a.Store.History(x.r.Context(), record.ID)
	if err != nil {
		return err
	}
	body, err := json.Marshal(struct {
		Items []esh3ar.Event `json:"items"`
	}{events})
	if err != nil {
		return err
	}
	return x.answer(http.StatusOK, body)
}

func (x *exchange) answerRecord(r *esh3ar.Record) error {
	x.buffer = appendRecord(x.buffer[:0], r)
	return x.answer(http.StatusOK, x.buffer)
}

func appendRecord(dst []byte, r *esh3ar.Record) []byte {
	o := wire.Begin(dst)
	o.Text("id", r.ID)
	o.String("status", r.Status.String())
	if r.Seq != 0 {
		o.Uint("seq", uint64(r.Seq))
	}
	o.Text("recipientPhoneNumber", r.Recipient)
	o.String("messageContent", r.Content)
	o.Optional("subject", r.Subject)
	o.String("priority", r.Priority.String())
	o.Optional("correlationId", r.CorrelationID)
	o.Pairs("metadata", r.Metadata)
	if r.TTL > 0 {
		o.Uint("ttlSeconds", uint64(r.TTL/time.Second))
	}
	o.Time("sendAt", r.SendAt)
	o.Text("createdAt", r.CreatedAt())
	o.Time("scheduledAt", r.ScheduledAt)
	o.Time("sentAt", r.SentAt)
	o.Time("deliveredAt", r.DeliveredAt)
	o.Time("readAt", r.ReadAt)
	o.Time("endedAt", r.EndedAt)
	o.Time("expiresAt", r.ExpiresAt)
	o.Uint("life", uint64(r.Life))
	o.Uint("attempts", uint64(r.Attempts))
	o.Optional("failureReason", r.Reason)
	return o.End()
}
