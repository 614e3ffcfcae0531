package httpapi

import (
	"net/http"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/opaque"
	"github.com/esh3artech/esh3ar/internal/wire"
)

// listMessages implements GET /v1/messages.
func (a *API) listMessages(x *exchange) error {
	q, err := a.listQuery(x.r.URL.RawQuery)
	if err != nil {
		return err
	}
	q.Business = x.caller.Business
	if q.Cursor, err = x.openCursor(opaque.Messages, q.Cursor); err != nil {
		return err
	}
	return x.answerPage(q.Limit, opaque.Messages, func() (esh3ar.ListPage, error) { return a.Store.List(x.r.Context(), q) })
}

// listQuery parses the filters of the query string.
func (a *API) listQuery(raw string) (esh3ar.ListQuery, error) {
	q := esh3ar.ListQuery{Limit: defaultLimit}
	err := parseParameters(raw, func(name, value string) string {
		switch name {
		case "status":
			return statusFilter(&q.Statuses, value)
		case "recipientPhoneNumber":
			return a.recipientFilter(&q.Recipient, value)
		case "correlationId":
			return stringFilter(&q.CorrelationID, value, esh3ar.MaxCorrelationIDLength)
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

// recordSize is an estimate of the memory that one message of a page takes, in bytes.
const recordSize = 4 << 10

// answerPage reads a page of at most limit messages and sends it with a sealed cursor.
func (x *exchange) answerPage(limit int, use opaque.Use, read func() (esh3ar.ListPage, error)) error {
	// The size of a page is not known before it is read; most messages are far smaller than the estimate.
	if err := x.reserve(int64(limit) * recordSize); err != nil {
		return err
	}
	var page esh3ar.ListPage
	if err := x.runQuery(func() (err error) {
		page, err = read()
		return err
	}); err != nil {
		return badCursor(err)
	}
	if page.NextCursor != "" {
		page.NextCursor = x.api.Cursors.Seal(use, x.caller.Business, page.NextCursor)
	}
	x.buffer = appendPage(x.buffer[:0], &page)
	return x.answer(http.StatusOK, x.buffer)
}

func appendPage(dst []byte, page *esh3ar.ListPage) []byte {
	dst = append(dst, `{"items":[`...)
	for i := range page.Records {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendRecord(dst, &page.Records[i])
	}
	dst = append(dst, ']')
	if page.NextCursor != "" {
		dst = wire.AppendString(append(dst, `,"nextCursor":`...), page.NextCursor)
	}
	return append(dst, '}')
}

// openCursor unseals a cursor. It returns "" for an empty one.
func (x *exchange) openCursor(use opaque.Use, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	text, err := x.api.Cursors.Open(use, x.caller.Business, cursor)
	if err != nil {
		return "", badCursor(&esh3ar.Error{Code: esh3ar.Invalid, Text: "is not a cursor of this list for this business"})
	}
	return text, nil
}

// badCursor translates the store's Invalid error, which only a cursor can cause, into a fault of the parameter cursor.
func badCursor(err error) error {
	if esh3ar.CodeOf(err) != esh3ar.Invalid {
		return err
	}
	var f faults
	f.addParameter("cursor", validationFailed, err.Error())
	return f.problem()
}
