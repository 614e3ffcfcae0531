package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/wire"
)

// list is GET /v1/messages.
func (a *API) list(x *exchange) error {
	q, err := a.listQuery(x.r.URL.RawQuery)
	if err != nil {
		return err
	}
	// What a page takes is not known before it is read; most messages are far smaller than this.
	if err := x.reserve(int64(q.Limit) * recordSize); err != nil {
		return err
	}
	q.Business = x.caller.Business
	page, err := a.Store.List(x.r.Context(), q)
	if err != nil {
		return badCursor(err)
	}
	x.buffer = appendPage(x.buffer[:0], &page)
	return x.answer(http.StatusOK, x.buffer)
}

// recordSize is a guess at the bytes that one message of a page takes, read and written.
const recordSize = 4 << 10

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

// badCursor names the one parameter that only the store can judge.
func badCursor(err error) error {
	if esh3ar.CodeOf(err) != esh3ar.Invalid {
		return err
	}
	var f faults
	f.parameter("cursor", err.Error())
	return f.problem()
}

const (
	defaultLimit = 50
	maxLimit     = 500
)

// listQuery reads the filters; every bad one is named.
func (a *API) listQuery(raw string) (esh3ar.ListQuery, error) {
	q := esh3ar.ListQuery{Limit: defaultLimit}
	var f faults
	values, err := url.ParseQuery(raw)
	if err != nil {
		f.parameter("", "the query string cannot be read: "+err.Error())
		return q, f.problem()
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if len(values[name]) > 1 {
			f.parameter(name, "appears twice")
		}
		if why := a.filter(&q, name, values[name][0]); why != "" {
			f.parameter(name, why)
		}
	}
	return q, f.problem()
}

// filter takes one query parameter; it gives what is wrong with it.
func (a *API) filter(q *esh3ar.ListQuery, name, value string) (why string) {
	switch name {
	case "status":
		return statuses(q, value)
	case "recipientPhoneNumber":
		r, ok := a.Phones.Parse(value)
		if q.Recipient = r; !ok {
			return "is not a possible phone number; write + as %2B"
		}
	case "correlationId":
		if q.CorrelationID = value; value == "" || utf8.RuneCountInString(value) > esh3ar.MaxCorrelationIDLength {
			return "must have 1 to 128 characters"
		}
	case "from":
		return timeFilter(&q.From, value)
	case "until":
		return timeFilter(&q.Until, value)
	case "limit":
		n, err := strconv.Atoi(value)
		if q.Limit = n; err != nil || n < 1 || n > maxLimit {
			return "must be a whole number from 1 to 500"
		}
	case "cursor":
		q.Cursor = value
	default:
		return "unknown parameter"
	}
	return ""
}

func statuses(q *esh3ar.ListQuery, value string) (why string) {
	for word := range strings.SplitSeq(value, ",") {
		s, err := esh3ar.ParseStatus(word)
		if err != nil {
			return err.Error()
		}
		q.Statuses = append(q.Statuses, s)
	}
	return ""
}

func timeFilter(into *esh3ar.Time, value string) (why string) {
	if into.UnmarshalText([]byte(value)) != nil {
		return "must be a time such as 2030-01-01T00:00:00.000Z"
	}
	return ""
}
