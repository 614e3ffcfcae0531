package httpapi

import (
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
	values, err := url.ParseQuery(raw)
	if err != nil {
		f.parameter("", validationFailed, "the query string cannot be read: "+err.Error())
		return f.problem()
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := values[name][0]
		if len(values[name]) > 1 {
			f.parameter(name, validationFailed, "appears twice")
		}
		if strings.ContainsRune(value, 0) || !utf8.ValidString(value) {
			f.parameter(name, invalidCharacter, "must be UTF-8 without U+0000")
		} else if why := take(name, value); why != "" {
			f.parameter(name, validationFailed, why)
		}
	}
	return f.problem()
}

// The filters below read one value each; they give what is wrong with it.

func (a *API) recipientFilter(into *esh3ar.Recipient, value string) (why string) {
	r, ok := a.Phones.Parse(value)
	if *into = r; !ok {
		return "is not a possible phone number; write + as %2B"
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
	if into.UnmarshalText([]byte(value)) != nil {
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
