package torture_test

import (
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar/internal/torture"
)

const (
	to    = 967771000001
	other = 967771000002
)

// clean is a small ledger in which every promise was kept.
func clean() []torture.Entry {
	return []torture.Entry{
		{Kind: torture.Called, Number: 1, To: to, Key: "k1"},
		{Kind: torture.Called, Number: 2, To: to},
		{Kind: torture.Called, Number: 3, To: to},
		{Kind: torture.Called, Number: 4, To: to},
		{Kind: torture.Unknown, Number: 1},
		{Kind: torture.Killed},
		{Kind: torture.Accepted, Number: 1, To: to, ID: "a", Seq: 1},
		{Kind: torture.Accepted, Number: 1, To: to, ID: "a", Seq: 1},
		{Kind: torture.Accepted, Number: 2, To: to, ID: "b", Seq: 2},
		{Kind: torture.Refused, Number: 3},
		{Kind: torture.Unknown, Number: 4},
		{Kind: torture.Received, Number: 1, To: to, ID: "a", Seq: 1, Lane: "normal", Conn: 1},
		{Kind: torture.Received, Number: 2, To: to, ID: "b", Seq: 2, Lane: "normal", Conn: 1},
		{Kind: torture.Received, Number: 1, To: to, ID: "a", Seq: 1, Lane: "normal", Conn: 2},
		{Kind: torture.Received, Number: 4, To: to, ID: "d", Seq: 3, Lane: "urgent", Conn: 2},
		{Kind: torture.Acked, ID: "a"},
		{Kind: torture.Final, ID: "a", Status: "delivered", Versions: "1 queued 2 sent 3 delivered"},
		{Kind: torture.Final, ID: "b", Status: "read", Versions: "1 queued 2 delivered 3 read"},
		{Kind: torture.Final, ID: "d", Status: "delivered", Versions: "1 queued 2 delivered"},
	}
}

func TestACleanLedger(t *testing.T) {
	t.Parallel()
	v := torture.Judge(clean())
	if !v.Clean() || v.Kills != 1 || v.Accepted != 2 || v.Received != 3 || v.Repeats != 1 || v.Refused != 1 || v.Unknown != 2 {
		t.Errorf("%+v", v)
	}
}

// TestEveryPlantedViolationIsFound changes one thing at a time.
func TestEveryPlantedViolationIsFound(t *testing.T) {
	t.Parallel()
	drop := func(entries []torture.Entry, match func(e torture.Entry) bool) (rest []torture.Entry) {
		for _, e := range entries {
			if !match(e) {
				rest = append(rest, e)
			}
		}
		return rest
	}
	for name, c := range map[string]struct {
		plant func(entries []torture.Entry) []torture.Entry
		want  string
	}{
		"lost": {func(e []torture.Entry) []torture.Entry {
			return drop(e, func(e torture.Entry) bool { return e.Kind == torture.Received && e.ID == "b" })
		}, "LOST: message 2"},
		"out of order": {func(e []torture.Entry) []torture.Entry {
			e[11], e[12] = e[12], e[11]
			return e
		}, "came after"},
		"stored twice": {func(e []torture.Entry) []torture.Entry {
			return append(e, torture.Entry{Kind: torture.Received, Number: 1, To: to, ID: "x", Seq: 4, Lane: "normal", Conn: 2})
		}, "stored 2 times"},
		"same seq twice": {func(e []torture.Entry) []torture.Entry {
			e[14].Seq = 2
			return e
		}, "belongs to"},
		"hole": {func(e []torture.Entry) []torture.Entry {
			e[14].Seq = 4
			return e
		}, "none has seq 3"},
		"another seq": {func(e []torture.Entry) []torture.Entry {
			e[13].Seq = 9
			return e
		}, "has seq 1 and seq 9"},
		"wrong phone": {func(e []torture.Entry) []torture.Entry {
			e[12].To = other
			return e
		}, "reached +967771000002"},
		"refused and stored": {func(e []torture.Entry) []torture.Entry {
			return append(e, torture.Entry{Kind: torture.Received, Number: 3, To: to, ID: "c", Seq: 4, Lane: "normal", Conn: 2},
				torture.Entry{Kind: torture.Final, ID: "c", Status: "delivered"})
		}, "refused and yet there"},
		"acknowledgement taken back": {func(e []torture.Entry) []torture.Entry {
			e[16].Status = "sent"
			return e
		}, "taken back"},
		"never settled": {func(e []torture.Entry) []torture.Entry {
			e[18].Status = "sent"
			return e
		}, "this is not"},
		"history with a hole": {func(e []torture.Entry) []torture.Entry {
			e[16].Versions = "1 queued 3 delivered"
			return e
		}, "has the history"},
		"history that falls": {func(e []torture.Entry) []torture.Entry {
			e[16].Versions = "1 sent 2 queued"
			return e
		}, "has the history"},
		"nobody sent it": {func(e []torture.Entry) []torture.Entry {
			return append(e, torture.Entry{Kind: torture.Received, Number: 99, To: to, ID: "z", Seq: 4, Lane: "normal", Conn: 2})
		}, "never sent"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := torture.Judge(c.plant(clean()))
			if v.Clean() || !strings.Contains(strings.Join(v.Broken, "\n"), c.want) {
				t.Errorf("want %q, got %+v", c.want, v)
			}
		})
	}
}
