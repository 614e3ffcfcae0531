package httpapi

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/esh3artech/esh3ar"
)

// Bounds of the query parameters of lists.
const (
	defaultLimit = 50
	maxLimit     = 500
	maxReason    = 64 // code points; failure reasons are short identifiers
)

const unknownParameter = "unknown parameter"

// parseParameters parses a query string and calls set for each parameter. set returns what is wrong with the value, or "".
// The result lists every faulty parameter.
func parseParameters(raw string, set func(name, value string) (why string)) error {
	var f faults
	values := url.Values{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		one, err := url.ParseQuery(pair)
		if err != nil {
			name, _, _ := strings.Cut(pair, "=")
			f.addParameter(strings.ToValidUTF8(name, "\ufffd"), validationFailed, "cannot be read: "+err.Error())
			continue
		}
		for name, list := range one {
			values[name] = append(values[name], list...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		f.checkParameter(name, values[name], set)
	}
	return f.problem()
}

// checkParameter checks the values of one parameter, calls set with the first, and adds the faults.
func (f *faults) checkParameter(name string, values []string, set func(name, value string) (why string)) {
	if !cleanText(name) {
		f.addParameter(strings.ToValidUTF8(name, "\ufffd"), validationFailed, unknownParameter)
		return
	}
	if len(values) > 1 {
		f.addParameter(name, validationFailed, "appears twice")
	}
	if !cleanText(values[0]) {
		f.addParameter(name, invalidCharacter, "must be UTF-8 without U+0000")
	} else if why := set(name, values[0]); why != "" {
		f.addParameter(name, validationFailed, why)
	}
}

// cleanText reports whether s is valid UTF-8 without U+0000.
func cleanText(s string) bool { return !strings.ContainsRune(s, 0) && utf8.ValidString(s) }

// noParameters returns a problem if a request has query parameters on a route without any. An unknown parameter, such as
// a misspelt filter, must not be ignored.
func (x *exchange) noParameters() error {
	if x.hasParameters || x.r.URL.RawQuery == "" {
		return nil
	}
	return parseParameters(x.r.URL.RawQuery, func(string, string) string { return unknownParameter })
}

// Each filter below parses one value and returns what is wrong with it, or "".

func (a *API) recipientFilter(into *esh3ar.Recipient, value string) (why string) {
	r, err := a.Phones.ParseQuery(value)
	*into = r
	if err != nil {
		return err.Error() + ", with + written as %2B"
	}
	return ""
}

func stringFilter(into *string, value string, most int) (why string) {
	*into = value
	if value == "" || utf8.RuneCountInString(value) > most {
		return "must have 1 to " + strconv.Itoa(most) + " characters"
	}
	return ""
}

func limitFilter(into *int, value string) (why string) {
	n, err := strconv.Atoi(value)
	*into = n
	if err != nil || n < 1 || n > maxLimit {
		return "must be a whole number from 1 to " + strconv.Itoa(maxLimit)
	}
	return ""
}

func statusFilter(into *[]esh3ar.Status, value string) (why string) {
	for word := range strings.SplitSeq(value, ",") {
		s, err := esh3ar.ParseStatus(word)
		if err != nil {
			return err.Error()
		}
		*into = append(*into, s)
	}
	return ""
}

func timeFilter(into *esh3ar.Time, value string) (why string) {
	text := []byte(value)
	if sign := len(text) - len("+00:00"); sign > 0 && text[sign] == ' ' {
		text[sign] = '+' // an unescaped plus is decoded as a space, which no time contains
	}
	if into.UnmarshalText(text) != nil {
		return "must be a time such as 2030-01-01T00:00:00.000Z"
	}
	return ""
}

func untilFilter(into *esh3ar.Time, value string) (why string) {
	why = timeFilter(into, value)
	*into = untilBound(*into)
	return why
}

// untilBound returns a time as the exclusive end of a query. The zero Time, 1970-01-01T00:00:00Z, would mean no filter, so
// it becomes the millisecond before, which has the same effect: no message is that old.
func untilBound(until esh3ar.Time) esh3ar.Time {
	if until.IsZero() {
		return -1
	}
	return until
}
