package httpapi

import (
	"encoding/json"
	"net/http"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/opaque"
)

// listDeadLetters is GET /v1/dead-letters.
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
	err := parameters(raw, func(name, value string) string {
		switch name {
		case "recipientPhoneNumber":
			return a.recipientFilter(&q.Recipient, value)
		case "correlationId":
			return wordFilter(&q.CorrelationID, value, esh3ar.MaxCorrelationIDLength)
		case "reason":
			return wordFilter(&q.Reason, value, maxReason)
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

// ownDeadLetter finds a dead letter of the caller.
func (a *API) ownDeadLetter(x *exchange) (esh3ar.Record, error) {
	id, err := esh3ar.ParseMessageID(x.params[0])
	if err != nil {
		return esh3ar.Record{}, noDeadLetter(x)
	}
	record, err := a.Store.DeadLetter(x.r.Context(), x.caller.Business, id)
	return record, asNoDeadLetter(x, err)
}

// noDeadLetter is one answer for what is unknown, another business's, and no dead letter (any more).
func noDeadLetter(x *exchange) error { return notFound.problem("no dead letter " + x.params[0]) }

// asNoDeadLetter says NotFound in the edge's words.
func asNoDeadLetter(x *exchange, err error) error {
	if err != nil && esh3ar.CodeOf(err) == esh3ar.NotFound {
		return noDeadLetter(x)
	}
	return err
}

// getDeadLetter is GET /v1/dead-letters/{id}: reason, history and payload in one place.
func (a *API) getDeadLetter(x *exchange) error {
	record, err := a.ownDeadLetter(x)
	if err != nil {
		return err
	}
	events, err := a.Store.History(x.r.Context(), record.ID)
	if err != nil {
		return asNoDeadLetter(x, err)
	}
	history, err := json.Marshal(events)
	if err != nil {
		return err
	}
	body := appendRecord(x.buffer[:0], &record)
	body = append(body[:len(body)-1], `,"events":`...) // a record is an object: this is one more member of it
	x.buffer = append(append(body, history...), '}')
	return x.answer(http.StatusOK, x.buffer)
}

// discard is DELETE /v1/dead-letters/{id}.
func (a *API) discard(x *exchange) error {
	id, err := esh3ar.ParseMessageID(x.params[0])
	if err != nil {
		return noDeadLetter(x)
	}
	if err := a.Store.Discard(x.r.Context(), x.caller.Business, id); err != nil {
		return asNoDeadLetter(x, err)
	}
	x.send(http.StatusNoContent, nil)
	return nil
}
