package esh3ar_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
)

// contractRanks are the statuses and ranks of the outward contract.
var contractRanks = map[string]uint8{
	"scheduled": 0, "queued": 1, "pending": 2, "sent": 3, "canceled": 4, "expired": 4, "failed": 4, "delivered": 5, "read": 6,
}

func allStatuses() (all []esh3ar.Status) {
	for s := range esh3ar.Status(esh3ar.Statuses) {
		all = append(all, s)
	}
	return all
}

func TestStatus_NamesAndRanks_MatchContract(t *testing.T) {
	t.Parallel()
	if len(contractRanks) != esh3ar.Statuses {
		t.Errorf("got %d statuses, want %d", esh3ar.Statuses, len(contractRanks))
	}
	for _, s := range allStatuses() {
		rank, ok := contractRanks[s.String()]
		if !ok || rank != s.Rank() {
			t.Errorf("%s: got rank %d, want %d (in the contract: %t)", s, s.Rank(), rank, ok)
		}
		if back, err := esh3ar.ParseStatus(s.String()); err != nil || back != s {
			t.Errorf("ParseStatus(%s): got %s, %v, want it unchanged", s, back, err)
		}
		if s.Ends() != (rank >= 4) {
			t.Errorf("%s: got Ends %t, want %t", s, s.Ends(), rank >= 4)
		}
	}
	if _, err := esh3ar.ParseStatus("lost"); err == nil {
		t.Error("unknown status: got nil, want an error")
	}
}

// TestStage_CanBecome_AllPairs_MatchContract compares all pairs of stages in three lives with the rule of the contract.
func TestStage_CanBecome_AllPairs_MatchContract(t *testing.T) {
	t.Parallel()
	for _, from := range allStatuses() {
		for _, to := range allStatuses() {
			for lifeFrom := esh3ar.Life(1); lifeFrom <= 3; lifeFrom++ {
				for lifeTo := esh3ar.Life(1); lifeTo <= 3; lifeTo++ {
					want := lifeTo > lifeFrom || lifeTo == lifeFrom && contractRanks[to.String()] > contractRanks[from.String()]
					a, b := esh3ar.Stage{Life: lifeFrom, Status: from}, esh3ar.Stage{Life: lifeTo, Status: to}
					if a.CanBecome(b) != want {
						t.Errorf("%v to %v: got %t, want %t", a, b, a.CanBecome(b), want)
					}
				}
			}
		}
	}
}

// TestStatus_DocsDiagram_MatchesCode compares the table and the diagram in docs/status.md with the code.
func TestStatus_DocsDiagram_MatchesCode(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/status.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\d) \\|").FindAllStringSubmatch(string(text), -1)
	if len(rows) != esh3ar.Statuses {
		t.Errorf("table: got %d statuses, want %d", len(rows), esh3ar.Statuses)
	}
	for _, row := range rows {
		s, err := esh3ar.ParseStatus(row[1])
		if err != nil || strconv.Itoa(int(s.Rank())) != row[2] {
			t.Errorf("table row %s: got rank %s, want %d, %v", row[0], row[2], s.Rank(), err)
		}
	}
	drawn := map[string]bool{}
	for _, arrow := range regexp.MustCompile(`(?m)^ {4}(\S+) --> (\w+)$`).FindAllStringSubmatch(string(text), -1) {
		to, err := esh3ar.ParseStatus(arrow[2])
		if err != nil {
			t.Errorf("arrow %s: got %v, want a status", arrow[0], err)
			continue
		}
		drawn[arrow[2]] = true
		if arrow[1] == "[*]" {
			continue
		}
		from, err := esh3ar.ParseStatus(arrow[1])
		if err != nil || !(esh3ar.Stage{Life: 1, Status: from}).CanBecome(esh3ar.Stage{Life: 1, Status: to}) {
			t.Errorf("arrow %s: got a change that is not allowed (%v)", arrow[0], err)
		}
	}
	for name := range contractRanks {
		if !drawn[name] {
			t.Errorf("diagram: got no arrow to %s, want one", name)
		}
	}
}

func TestIDs_NewParsedAndDerived(t *testing.T) {
	t.Parallel()
	before := esh3ar.TimeOf(time.Now())
	var ids []string
	for range 1000 {
		id := esh3ar.NewMessageID()
		if id.Version() != 7 || id.Variant() != 1 || id.CreatedAt() < before {
			t.Fatalf("%s: got version %d, variant %d, created %s, want 7, 1 and now", id, id.Version(), id.Variant(), id.CreatedAt())
		}
		if text, err := id.AppendText(nil); err != nil || string(text) != id.String() {
			t.Fatalf("%s: AppendText: got %s, %v, want the same", id, text, err)
		}
		ids = append(ids, id.String())
	}
	if !slices.IsSorted(ids) {
		t.Error("got ids that do not rise, want rising ids")
	}
	at := esh3ar.MessageIDAt(1_700_000_000_123, [10]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255})
	if at.CreatedAt() != 1_700_000_000_123 || at.Version() != 7 || at.Variant() != 1 {
		t.Errorf("MessageIDAt: got %s, created %s", at, at.CreatedAt())
	}
	for _, bad := range []string{"", "x", "{" + ids[0] + "}", "urn:uuid:" + ids[0], strings.ReplaceAll(ids[0], "-", "")} {
		if _, err := esh3ar.ParseMessageID(bad); err == nil {
			t.Errorf("%q: got nil, want an error", bad)
		}
	}
	id := esh3ar.NewMessageID()
	first, again := esh3ar.EventIDOf(id, 1, 5), esh3ar.EventIDOf(id, 1, 5)
	if first != again || first == esh3ar.EventIDOf(id, 2, 5) || first.Version() != 7 {
		t.Errorf("EventIDOf: got %s and %s, want the same, of version 7, and another for version 2", first, again)
	}
}

func TestTime_TextAndJSON_RoundTrip(t *testing.T) {
	t.Parallel()
	at := esh3ar.TimeOf(time.Date(2026, 1, 2, 3, 4, 5, 6_999_999, time.FixedZone("", 3*3600)))
	if at.String() != "2026-01-02T00:04:05.006Z" {
		t.Errorf("got %s, want 2026-01-02T00:04:05.006Z", at)
	}
	for _, ms := range []int64{0, 1, -1, 951_782_400_000, 1_709_164_800_999, 253_402_300_799_999, 253_402_300_800_000, -62_135_596_800_001, 1_795_461_558_042} {
		want := time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
		if got, err := esh3ar.Time(ms).AppendText(nil); err != nil || string(got) != want {
			t.Errorf("%d: got %s, %v, want %s", ms, got, err, want)
		}
	}
	var back esh3ar.Time
	if err := json.Unmarshal([]byte(`"2026-01-02T03:04:05.006+03:00"`), &back); err != nil || back != at {
		t.Errorf("got %s, %v, want %s", back, err, at)
	}
	if err := back.UnmarshalText([]byte("yesterday")); err == nil {
		t.Error("malformed time: got nil, want an error")
	}
}

func TestRecipient_Parse_AcceptsCanonicalFormOnly(t *testing.T) {
	t.Parallel()
	for text, good := range map[string]bool{
		"+967771234567": true, "+1234567890123456789": true, "+12345678901234567890": false, "967771234567": false, "+067771234567": false,
		"+96777123456x": false, "+": false, "": false, "+967 771": false,
	} {
		r, err := esh3ar.ParseRecipient(text)
		if (err == nil) != good || good && r.String() != text {
			t.Errorf("%q: got %s, %v, want valid %t", text, r, err, good)
		}
	}
}

func TestPriority_Names_RoundTrip(t *testing.T) {
	t.Parallel()
	for p, name := range []string{"low", "normal", "high", "urgent"} {
		got, err := esh3ar.ParsePriority(name)
		if err != nil || int(got) != p || got.String() != name {
			t.Errorf("%s: got %d, %v, want its index", name, got, err)
		}
	}
	if _, err := esh3ar.ParsePriority("Normal"); err == nil {
		t.Error("priority in upper case: got nil, want an error")
	}
}

func TestError_Wrapped_KeepsCodeAndCause(t *testing.T) {
	t.Parallel()
	cause := errors.New("disk")
	err := fmt.Errorf("append: %w", esh3ar.Errorf(esh3ar.StorageFull, "write: %w", cause))
	if esh3ar.CodeOf(err) != esh3ar.StorageFull || !errors.Is(err, cause) || err.Error() != "append: write: disk" {
		t.Errorf("got %v with code %s, want storage_full and the cause", err, esh3ar.CodeOf(err))
	}
	if esh3ar.CodeOf(cause) != esh3ar.Internal {
		t.Errorf("unclassified error: got %s, want internal", esh3ar.CodeOf(cause))
	}
	if esh3ar.Abandoned.String() != "abandoned" || esh3ar.Internal.String() != "internal" {
		t.Errorf("got names %s and %s, want abandoned and internal", esh3ar.Abandoned, esh3ar.Internal)
	}
}

// TestEvent_JSON_MatchesContract compares with the form of the outward contract.
func TestEvent_JSON_MatchesContract(t *testing.T) {
	t.Parallel()
	id := esh3ar.MessageIDAt(1_700_000_000_123, [10]byte{})
	event := esh3ar.Event{ID: esh3ar.EventIDOf(id, 2, 5), Message: id, Business: esh3ar.NewBusinessID(), Version: 2, Life: 1, Status: esh3ar.Sent, At: 1_700_000_000_200, Recipient: 967771234567, Attempt: 1}
	text, err := json.Marshal(event)
	want := `{"eventId":"` + event.ID.String() + `","messageId":"018bcfe5-687b-7000-8000-000000000000","version":2,"life":1,"status":"sent","occurredAt":"2023-11-14T22:13:20.200Z","recipientPhoneNumber":"+967771234567","attempt":1}`
	if err != nil || string(text) != want {
		t.Errorf("got  %s, %v\nwant %s", text, err, want)
	}
}

func TestLevelsAndDays_RoundTrip(t *testing.T) {
	t.Parallel()
	for l, name := range []string{"basic", "premium", "enterprise"} {
		got, err := esh3ar.ParseLevel(name)
		if err != nil || int(got) != l || got.String() != name {
			t.Errorf("%s: got %d, %v, want its index", name, got, err)
		}
	}
	if _, err := esh3ar.ParseLevel("gold"); err == nil {
		t.Error("unknown level: got nil, want an error")
	}
	for text, day := range map[string]esh3ar.Day{
		"2026-11-24T23:59:59.999Z": 20781, "2026-11-25T00:00:00.000Z": 20782, "1970-01-01T00:00:00.000Z": 0, "1969-12-31T23:59:59.999Z": -1, "2026-11-25T02:59:59.999+03:00": 20781,
	} {
		var at esh3ar.Time
		if err := at.UnmarshalText([]byte(text)); err != nil || esh3ar.DayOf(at) != day {
			t.Errorf("%s: got day %d, %v, want %d", text, esh3ar.DayOf(at), err, day)
		}
	}
	if d := esh3ar.Day(20781); d.String() != "2026-11-24" || esh3ar.DayOf(d.Start()) != d || esh3ar.DayOf(d.Start()-1) != d-1 {
		t.Errorf("got %s starting at %s, want 2026-11-24", d, d.Start())
	}
}
