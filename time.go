package esh3ar

import (
	"fmt"
	"time"
)

// Time is a point in time in milliseconds since 1970-01-01T00:00:00Z. Zero means "never" or "not yet".
// Everything that is stored or sent carries this resolution, so that what was written equals what is read.
type Time int64

// timeLayout is RFC 3339 in UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// TimeOf cuts t to milliseconds.
func TimeOf(t time.Time) Time { return Time(t.UnixMilli()) }

// Time is t in the standard library's form, in UTC.
func (t Time) Time() time.Time { return time.UnixMilli(int64(t)).UTC() }

// IsZero tells whether the time is absent.
func (t Time) IsZero() bool { return t == 0 }

// Add moves t by d, cut to milliseconds.
func (t Time) Add(d time.Duration) Time { return t + Time(d.Milliseconds()) }

// Sub is the distance from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t-u) * time.Millisecond }

// String is RFC 3339 UTC with milliseconds, 24 characters.
func (t Time) String() string { return t.Time().Format(timeLayout) }

// AppendText appends what String gives.
func (t Time) AppendText(dst []byte) ([]byte, error) {
	return t.Time().AppendFormat(dst, timeLayout), nil
}

// MarshalText makes JSON and YAML carry the form of String.
func (t Time) MarshalText() ([]byte, error) { return t.AppendText(nil) }

// UnmarshalText reads any RFC 3339 time; what is finer than a millisecond is cut.
func (t *Time) UnmarshalText(text []byte) error {
	parsed, err := time.Parse(time.RFC3339Nano, string(text))
	if err != nil {
		return fmt.Errorf("%q is not an RFC 3339 time", text)
	}
	*t = TimeOf(parsed)
	return nil
}
