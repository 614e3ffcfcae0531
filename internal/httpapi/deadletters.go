package httpapi

import (
	"encoding/json"
	"net/http"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/opaque"
)

// listDeadLetters implements GET /v1/dead-letters.
func (a *API) listDeadLetters(x *exchange) error {
	q, err := a.deadLetterQuery(x.r.URL.RawQuery)
	if err != nil {
		return err
	}
	q.Business = x.caller.Business
	if q.Cursor, err = x.openCursor(opaque.DeadLetters, q.Cursor); err != nil {
		return err
	}
	return x.answerPage(q.Limit, opaque.DeadLetters, func() (esh3ar.ListPage, error) { return a.Store.DeadLetters(x.r.Context(), q) })
}

func (a *API) deadLetterQuery(raw string) (esh3ar.DeadLetterQuery, error) {
	q := esh3ar.DeadLetterQuery{Limit: defaultLimit}
	err := parseParameters(raw, func(name, value string) string {
		switch name {
		case "recipientPhoneNumber":
			return a.recipientFilter(&q.Recipient, value)
		case "correlationId":
			return stringFilter(&q.CorrelationID, value, esh3ar.MaxCorrelationIDLength)
		case "reason":
			return stringFilter(&q.Reason, value, maxReason)
		case "from":
			return timeFilter(&q.From, value)
		case "until":
			return untilFilter(&q.Until, value)
		case "limit":
			return limitFilter(&q.Limit, value)
		case "cursor":
			q.Cursor = value
			return ""
		default:
			return unknownParameter
		}
	})
	return q, err
}

// ownDeadLetter returns the dead letter of the caller that the path names.
func (a *API) ownDeadLetter(x *exchange) (esh3ar.Record, error) {
	id, err := esh3ar.ParseMessageID(x.params[0])
	if err != nil {
		return esh3ar.Record{}, deadLetterNotFound(x)
	}
	record, err := a.Store.DeadLetter(x.r.Context(), x.caller.Business, id)
	return record, deadLetterError(x, err)
}

// deadLetterNotFound returns the same problem for an unknown id, a message of another business, and a message that is not
// a dead letter, so that a caller cannot tell them apart.
func deadLetterNotFound(x *exchange) error { return notFound.problem("no dead letter " + x.params[0]) }

// deadLetterError replaces a NotFound of the store with deadLetterNotFound and returns other errors unchanged.
func deadLetterError(x *exchange, err error) error {
	if err != nil && esh3ar.CodeOf(err) == esh3ar.NotFound {
		return deadLetterNotFound(x)
	}
	return err
}

// getDeadLetter implements GET /v1/dead-letters/{id}. The answer holds the message, its failure reason and its history.
func (a *API) getDeadLetter(x *exchange) error {
	record, err := a.ownDeadLetter(x)
	if err != nil {
		return err
	}
	events, err := a.Store.History(x.r.Context(), record.ID)
	if err != nil {
		return deadLetterError(x, err)
	}
	history, err := json.Marshal(events)
	if err != nil {
		return err
	}
	body := appendRecord(x.buffer[:0], &record)
	body = append(body[:len(body)-1], `,"events":`...) // replaces the closing brace of the record
	x.buffer = append(append(body, history...), '}')
	return x.answer(http.StatusOK, x.buffer)
}

// discardDeadLetter implements DELETE /v1/dead-letters/{id}.
func (a *API) discardDeadLetter(x *exchange) error {
	id, err := esh3ar.ParseMessageID(x.params[0])
	if err != nil {
		return deadLetterNotFound(x)
	}
	if err := a.Store.Discard(x.r.Context(), x.caller.Business, id); err != nil {
		return deadLetterError(x, err)
	}
	x.send(http.StatusNoContent, nil)
	return nil
}
