package esh3ar

import (
	"fmt"
	"time"
)

// Time is a point in time in milliseconds since 1970-01-01T00:00:00Z. Zero means "never" or "not yet".
// All stored and sent times have this resolution, so that a time that was written equals the time that is read.
type Time int64

// lowerCase is the bit that turns an upper-case ASCII letter into the lower-case one.
const lowerCase = 0x20

// timeLayout is RFC 3339 in UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// TimeOf returns t truncated to milliseconds.
func TimeOf(t time.Time) Time { return Time(t.UnixMilli()) }

// Time returns t as a time.Time in UTC.
func (t Time) Time() time.Time { return time.UnixMilli(int64(t)).UTC() }

// IsZero reports whether the time is zero.
func (t Time) IsZero() bool { return t == 0 }

// Add returns t plus d, truncated to milliseconds.
func (t Time) Add(d time.Duration) Time { return t + Time(d.Milliseconds()) }

// Sub returns the duration from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t-u) * time.Millisecond }

// String returns the time in RFC 3339, in UTC with milliseconds: 24 characters up to the year 9999.
func (t Time) String() string { return t.Time().Format(timeLayout) }

// AppendText appends the form of String.
func (t Time) AppendText(dst []byte) ([]byte, error) {
	return t.Time().AppendFormat(dst, timeLayout), nil
}

// MarshalText returns the form of String.
func (t Time) MarshalText() ([]byte, error) { return t.AppendText(nil) }

// UnmarshalText parses an RFC 3339 time (section 5.6) and no other form. A fraction may have any length and is truncated to milliseconds.
// Any offset is valid, and so are "t" and "z". A leap second is valid at the end of a month in UTC and counts as the second after it.
func (t *Time) UnmarshalText(text []byte) error {
	parsed, ok := parseTime(text)
	if !ok {
		return fmt.Errorf("%q is not an RFC 3339 time", text)
	}
	*t = parsed
	return nil
}

// parseTime parses "2006-01-02T15:04:05", a fraction or none, and an offset.
func parseTime(text []byte) (Time, bool) {
	const fixed = len("2006-01-02T15:04:05")
	if len(text) <= fixed || text[4] != '-' || text[7] != '-' || text[10]|lowerCase != 't' || text[13] != ':' || text[16] != ':' {
		return 0, false
	}
	var n [7]int // century, year in the century, month, day, hour, minute, second
	for i, at := range [...]int{0, 2, 5, 8, 11, 14, 17} {
		var ok bool
		if n[i], ok = twoDigits(text[at:]); !ok {
			return 0, false
		}
	}
	year := n[0]*100 + n[1]
	month := time.Month(n[2])
	day := n[3]
	hour, minute, second := n[4], n[5], n[6]
	if month < time.January || month > time.December || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 60 {
		return 0, false
	}
	milliseconds, rest, ok := parseFraction(text[fixed:])
	if !ok {
		return 0, false
	}
	offset, ok := parseOffset(rest)
	if !ok {
		return 0, false
	}
	at := time.Date(year, month, day, hour, minute, second, 0, time.UTC).Add(-offset)
	if second < 60 {
		return TimeOf(at) + Time(milliseconds), true
	}
	// at is the second after the leap second.
	return TimeOf(at), at.Day() == 1 && at.Hour() == 0 && at.Minute() == 0
}

// parseFraction parses "." and digits, or nothing if there is no ".".
func parseFraction(text []byte) (milliseconds int, rest []byte, ok bool) {
	if len(text) == 0 || text[0] != '.' {
		return 0, text, true
	}
	digits := 0
	for digits+1 < len(text) && text[digits+1] >= '0' && text[digits+1] <= '9' {
		digits++
	}
	for i := 1; i <= 3; i++ {
		milliseconds *= 10
		if i <= digits {
			milliseconds += int(text[i] - '0')
		}
	}
	return milliseconds, text[1+digits:], digits > 0
}

// parseOffset parses "Z", or a sign, hours and minutes.
func parseOffset(text []byte) (time.Duration, bool) {
	if len(text) == 1 {
		return 0, text[0]|lowerCase == 'z'
	}
	if len(text) != len("+00:00") || text[0] != '+' && text[0] != '-' || text[3] != ':' {
		return 0, false
	}
	hours, ok := twoDigits(text[1:])
	minutes, ok2 := twoDigits(text[4:])
	if !ok || !ok2 || hours > 23 || minutes > 59 {
		return 0, false
	}
	offset := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if text[0] == '-' {
		offset = -offset
	}
	return offset, true
}

// twoDigits parses two digits at the start of text and reports whether they are digits.
func twoDigits(text []byte) (int, bool) {
	a, b := text[0]-'0', text[1]-'0'
	return int(a)*10 + int(b), a <= 9 && b <= 9
}

// daysIn returns the length of a month of the Gregorian calendar.
func daysIn(year int, month time.Month) int {
	return time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day()
}
