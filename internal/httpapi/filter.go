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

// Bounds of what a listing is asked for.
const (
	defaultLimit = 50
	maxLimit     = 500
	maxReason    = 64 // code points; reasons are short words of ours
)

const unknownParameter = "unknown parameter"

// parameters reads a query string; take says what is wrong with a value. Every bad one is named.
func parameters(raw string, take func(name, value string) (why string)) error {
	var f faults
	values := url.Values{}
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		one, err := url.ParseQuery(pair)
		if err != nil {
			name, _, _ := strings.Cut(pair, "=")
			f.parameter(strings.ToValidUTF8(name, "\ufffd"), validationFailed, "cannot be read: "+err.Error())
			continue
		}
		for name, list := range one {
			values[name] = append(values[name], list...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		f.query(name, values[name], take)
	}
	return f.problem()
}

// query notes what is wrong with a parameter.
func (f *faults) query(name string, values []string, take func(name, value string) (why string)) {
	if !cleanText(name) {
		f.parameter(strings.ToValidUTF8(name, "\ufffd"), validationFailed, unknownParameter)
		return
	}
	if len(values) > 1 {
		f.parameter(name, validationFailed, "appears twice")
	}
	if !cleanText(values[0]) {
		f.parameter(name, invalidCharacter, "must be UTF-8 without U+0000")
	} else if why := take(name, values[0]); why != "" {
		f.parameter(name, validationFailed, why)
	}
}

// cleanText reports whether s is UTF-8 without U+0000.
func cleanText(s string) bool { return !strings.ContainsRune(s, 0) && utf8.ValidString(s) }

// noParameters refuses the query of a call that has no parameters: one that is not understood, such as a filter, must not be
// passed over in silence.
func (x *exchange) noParameters() error {
	if x.takesQuery || x.r.URL.RawQuery == "" {
		return nil
	}
	return parameters(x.r.URL.RawQuery, func(string, string) string { return unknownParameter })
}

// The filters below read one value each; they give what is wrong with it.

func (a *API) recipientFilter(into *esh3ar.Recipient, value string) (why string) {
	r, err := a.Phones.ParseQuery(value)
	if *into = r; err != nil {
		return err.Error() + ", with + as %2B"
	}
	return ""
}

func wordFilter(into *string, value string, most int) (why string) {
	if *into = value; value == "" || utf8.RuneCountInString(value) > most {
		return "must have 1 to " + strconv.Itoa(most) + " characters"
	}
	return ""
}

func limitFilter(into *int, value string) (why string) {
	n, err := strconv.Atoi(value)
	if *into = n; err != nil || n < 1 || n > maxLimit {
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
		text[sign] = '+' // a plus that was not escaped; no time holds a space
	}
	if into.UnmarshalText(text) != nil {
		return "must be a time such as 2030-01-01T00:00:00.000Z"
	}
	return ""
}

func untilFilter(into *esh3ar.Time, value string) (why string) {
	why = timeFilter(into, value)
	*into = bound(*into)
	return why
}

// bound is a time as the end of a query. 1970-01-01T00:00:00Z itself is the zero that does not filter; nothing is older
// than the millisecond before it either.
func bound(until esh3ar.Time) esh3ar.Time {
	if until.IsZero() {
		return -1
	}
	return until
}
