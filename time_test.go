package esh3ar_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
)

func TestTime_UnmarshalText_ReadsRFC3339Only(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"2030-01-01T08:00:00Z":                                 "2030-01-01T08:00:00.000Z",
		"2030-01-01t08:00:00z":                                 "2030-01-01T08:00:00.000Z",
		"2030-01-01T08:00:00.1Z":                               "2030-01-01T08:00:00.100Z",
		"2030-01-01T08:00:00.123999999z":                       "2030-01-01T08:00:00.123Z",
		"2030-01-01T08:00:00." + strings.Repeat("9", 40) + "Z": "2030-01-01T08:00:00.999Z",
		"2030-01-01T08:00:00+03:00":                            "2030-01-01T05:00:00.000Z",
		"2030-01-01T08:00:00-00:00":                            "2030-01-01T08:00:00.000Z",
		"2030-01-01T08:00:00+23:59":                            "2029-12-31T08:01:00.000Z",
		"2024-02-29T23:59:59Z":                                 "2024-02-29T23:59:59.000Z",
		"2000-02-29T00:00:00Z":                                 "2000-02-29T00:00:00.000Z",
		"0000-02-29T00:00:00Z":                                 "0000-02-29T00:00:00.000Z",
		"9999-12-31T23:59:59.999Z":                             "9999-12-31T23:59:59.999Z",
		"1969-12-31T23:59:59.9999Z":                            "1969-12-31T23:59:59.999Z",
		"1990-12-31T23:59:60Z":                                 "1991-01-01T00:00:00.000Z",
		"1990-12-31T15:59:60.5-08:00":                          "1991-01-01T00:00:00.000Z",
		"2016-12-31t23:59:60z":                                 "2017-01-01T00:00:00.000Z",
	} {
		var got esh3ar.Time
		if err := got.UnmarshalText([]byte(text)); err != nil || got.String() != want {
			t.Errorf("%s: got %s, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "Z", "2030-01-01", "2030-01-01T8:00:00Z", "2030-01-01T08:00:00", "2030-01-01T08:00Z", "2030-01-01 08:00:00Z", "2030-01-01T08:00:00,5Z",
		"2030-01-01T08:00:00.Z", "2030-01-01T08:00:00+24:00", "2030-01-01T08:00:00+03:60", "2030-01-01T08:00:00+0300", "2030-01-01T08:00:00+03",
		"2030-01-01T08:00:00+3:00", "2030-01-01T24:00:00Z", "2030-01-01T08:60:00Z", "2030-01-01T08:00:61Z", "2030-01-01T08:00:60Z",
		"2030-05-05T23:59:60Z", "2030-12-31T22:59:60Z", "2030-12-31T23:59:60+01:00", "2030-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2030-00-01T00:00:00Z",
		"2030-13-01T00:00:00Z", "2030-04-31T00:00:00Z", "2030-01-00T00:00:00Z", "+2030-01-01T00:00:00Z", "-001-01-01T00:00:00Z", "02030-01-01T00:00:00Z",
		"2030-01-01T08:00:00ZZ", "2030-01-01T08:00:00Z ", " 2030-01-01T08:00:00Z", "2030-01-01T08:00:00.5", "2030-1-01T08:00:00Z", "２030-01-01T08:00:00Z",
		"2030-01-01T08:00:00\u221203:00", "2030-01-01T08:00:00 Z", "20300101T080000Z", "2030-W01-1T08:00:00Z", "1893484800", "2030-01-01T08:00:00.5.5Z",
		"2030-01-01T08:00:0", "2030-01-01T08:00:00+", "2030-01-01T08:00:00+03:0", "2030\x0001-01T08:00:00Z", "2030-01-01\x5408:00:00\x1a",
	} {
		var got esh3ar.Time
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got %s, want an error", text, got)
		}
	}
}

// grammar is date-time of RFC 3339, section 5.6, as a regular expression.
var grammar = regexp.MustCompile(`^(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(?:\.(\d+))?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)$`)

// reference parses a time with the grammar, and counts days without package time.
func reference(text string) (ms int64, ok bool) {
	m := grammar.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n := func(s string) int64 { v, _ := strconv.ParseInt(s, 10, 64); return v }
	year, month, day := n(m[1]), n(m[2]), n(m[3])
	leap := year%4 == 0 && (year%100 != 0 || year%400 == 0)
	length := []int64{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	if leap {
		length[1] = 29
	}
	if day > length[month-1] {
		return 0, false
	}
	days := year*365 + (year+3)/4 - (year+99)/100 + (year+399)/400 + day - 1
	for _, l := range length[:month-1] {
		days += l
	}
	const epoch = 719528 // days from 0000-01-01 to 1970-01-01
	seconds := (days-epoch)*86400 + n(m[4])*3600 + n(m[5])*60 + n(m[6])
	if zone := m[8]; len(zone) > 1 {
		offset := n(zone[1:3])*3600 + n(zone[4:6])*60
		if zone[0] == '+' {
			offset = -offset
		}
		seconds += offset
	}
	if m[6] == "60" {
		next := time.Unix(seconds, 0).UTC()
		return seconds * 1000, seconds%86400 == 0 && next.Day() == 1
	}
	return seconds*1000 + n((m[7] + "000")[:3]), true
}

func checkTime(t *testing.T, text string) bool {
	t.Helper()
	var got esh3ar.Time
	err := got.UnmarshalText([]byte(text))
	want, ok := reference(text)
	if (err == nil) != ok || ok && int64(got) != want {
		t.Errorf("%q: got %d, %v, want %d, %t", text, int64(got), err, want, ok)
	}
	// For valid times the standard library must agree. It does not accept leap seconds and lower case.
	if third, bad := time.Parse(time.RFC3339Nano, strings.ToUpper(text)); ok && !strings.Contains(text, ":60") && (bad != nil || third.UnixMilli() != want) {
		t.Errorf("%q: got %d from the reference, want %d, %v from package time", text, want, third.UnixMilli(), bad)
	}
	return ok
}

func TestTime_UnmarshalText_AgreesWithGrammar(t *testing.T) {
	t.Parallel()
	random, valid := rand.New(rand.NewPCG(3, 3)), 0
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	for range 20_000 {
		text := fmt.Sprintf("%04d-%02d-%02d%s%02d:%02d:%02d%s%s", random.IntN(10_000), random.IntN(14), random.IntN(33), pick("T", "T", "t", " "),
			random.IntN(25), random.IntN(61), random.IntN(62), pick("", "", ".5", ".1239", ".", ",5", ".000000000000001"),
			pick("Z", "z", "Z", "+03:00", "-00:00", "+23:59", "-24:00", "+14:60", "", "+0300"))
		if random.IntN(8) == 0 {
			at := random.IntN(len(text))
			text = text[:at] + pick("", "0", ":", "-", "x", "\u0660") + text[min(at+1, len(text)):]
		}
		if checkTime(t, text) {
			valid++
		}
	}
	for year := range 10_000 { // the last days of the months, and leap seconds after them
		month := 1 + year%12
		for day := 28; day <= 31; day++ {
			checkTime(t, fmt.Sprintf("%04d-%02d-%02dT23:59:59.999Z", year, month, day))
			checkTime(t, fmt.Sprintf("%04d-%02d-%02dT%02d:59:60-%02d:00", year, month, day, 23-year%24, year%24))
		}
	}
	if valid < 2000 {
		t.Errorf("got %d valid times, want at least 2000", valid)
	}
}

func FuzzTime_UnmarshalText(f *testing.F) {
	for _, seed := range []string{"2030-01-01T08:00:00Z", "2024-02-29t23:59:60.5-08:00", "2030-01-01T8:00:00Z", "0000-01-01T00:00:00+23:59", "2030-01-01T08:00:00,5Z"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) { checkTime(t, text) })
}

func TestTime_UnmarshalText_DoesNotAllocate(t *testing.T) {
	var at esh3ar.Time
	text := []byte("2030-01-01T08:00:00.123+03:00")
	if n := testing.AllocsPerRun(100, func() { _ = at.UnmarshalText(text) }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}
