package ledger_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/torture/ledger"
)

// twinID is the id that message 1 has at node 2.
const twinID = 101

// spilled is a round in which node 1 could not reach the store: it took message 1 under a key that node 2 took as well, and
// messages 2 and 3 for the same recipient.
func spilled() []ledger.Entry {
	r := &round{}
	for i, name := range consumers {
		r.note(ledger.Entry{Kind: ledger.Watching, Consumer: name, Conn: 100 + i})
	}
	r.note(ledger.Entry{Kind: ledger.Opened, Conn: 1, To: to})
	accepted := func(number, node int, key string) ledger.Entry {
		return ledger.Entry{Kind: ledger.Accepted, Number: number, Call: number, Key: key, To: to, ID: idOf(number), Node: node, Spilled: true}
	}
	r.call(ledger.Entry{Number: 1, Key: "k1"})
	r.note(accepted(1, 1, "k1"))
	r.note(ledger.Entry{Kind: ledger.Canceling, ID: idOf(1)})
	r.note(ledger.Entry{Kind: ledger.Absent, ID: idOf(1)})
	r.note(ledger.Entry{Kind: ledger.Accepted, Number: 1, Call: 1, Key: "k1", To: to, ID: idOf(twinID), Node: 2, Seq: 1})
	r.note(accepted(1, 1, "k1"))
	r.call(ledger.Entry{Number: 4, Key: "k1"})
	r.note(ledger.Entry{Kind: ledger.Mismatched, Number: 4, Call: 4, Key: "k1", Node: 1})
	r.call(ledger.Entry{Number: 2})
	r.note(accepted(2, 1, ""))
	r.call(ledger.Entry{Number: 3})
	r.note(accepted(3, 1, ""))
	for number, id := range []string{idOf(twinID), idOf(2), idOf(3)} {
		number++
		r.note(ledger.Entry{Kind: ledger.Received, Conn: 1, Number: number, To: to, ID: id, Seq: uint64(number), Lane: "normal", Attempt: 1})
		r.note(ledger.Entry{Kind: ledger.Acking, ID: id, Status: "delivered"})
	}
	r.note(ledger.Entry{Kind: ledger.Synced, To: to, Limit: 9, Found: []ledger.Slot{
		{Seq: 1, Number: 1, ID: idOf(twinID)}, {Seq: 2, Number: 2, ID: idOf(2)}, {Seq: 3, Number: 3, ID: idOf(3)},
	}})
	r.now = 2000
	r.rest(1, 0, 0, "queued canceled")
	loser := len(r.entries)
	r.rest(1, 1, 1, "queued delivered")
	for i := loser; i < len(r.entries); i++ {
		r.entries[i].ID = idOf(twinID)
	}
	r.entries[loser-2].Reason = esh3ar.ReasonDuplicate
	r.rest(2, 2, 1, "queued delivered")
	r.rest(3, 3, 1, "queued delivered")
	return r.entries
}

func TestALedgerOfASpill(t *testing.T) {
	t.Parallel()
	v := ledger.Judge(rules, consumers, spilled())
	if !v.Clean() || v.Accepted != 3 || v.Spilled != 3 || v.Duplicates != 1 || v.Again != 1 || v.Delivered != 3 || v.Canceled != 1 || v.Consumers[1].Events != 8 {
		t.Errorf("%+v\n%s", v, strings.Join(v.Broken, "\n"))
	}
}

// TestEveryBreachOfASpillIsFound plants one breach at a time.
func TestEveryBreachOfASpillIsFound(t *testing.T) {
	t.Parallel()
	loser := func(kind ledger.Kind, change func(e *ledger.Entry)) func([]ledger.Entry) []ledger.Entry {
		return func(entries []ledger.Entry) []ledger.Entry {
			for i := range entries {
				if entries[i].Kind == kind && entries[i].ID == idOf(1) {
					change(&entries[i])
				}
			}
			return entries
		}
	}
	for name, c := range map[string]struct {
		plant func([]ledger.Entry) []ledger.Entry
		want  string
	}{
		"forgotten": {func(e []ledger.Entry) []ledger.Entry {
			return slices.DeleteFunc(e, func(e ledger.Entry) bool {
				return e.Number == 3 && (e.Kind == ledger.Final || e.Kind == ledger.History)
			})
		}, "LOST: accepted, and the node does not know it: message 3"},
		"the loser forgotten": {func(e []ledger.Entry) []ledger.Entry {
			return slices.DeleteFunc(e, func(e ledger.Entry) bool {
				return e.ID == idOf(1) && (e.Kind == ledger.Final || e.Kind == ledger.History)
			})
		}, "LOST: accepted, and the node does not know it: message 1"},
		"with a seq":     {edit(ledger.Accepted, 2, func(e *ledger.Entry) { e.Seq = 2 }), "accepted as spilled, and with seq 2: message 2"},
		"not said":       {edit(ledger.Accepted, 2, func(e *ledger.Entry) { e.Spilled = false }), "accepted for now and without a seq: message 2"},
		"without an id":  {edit(ledger.Accepted, 2, func(e *ledger.Entry) { e.ID = "" }), "accepted without an id: message 2"},
		"both are there": {loser(ledger.Final, func(e *ledger.Entry) { e.Reason = "" }), "stored 2 times: message 1"},
		"stored and given up": {
			loser(ledger.Accepted, func(e *ledger.Entry) { e.Spilled, e.Seq = false, 4 }),
			"accepted as stored, and later a duplicate: message 1",
		},
		"pushed": {func(e []ledger.Entry) []ledger.Entry {
			for i := range e {
				if e[i].Kind == ledger.Received && e[i].Number == 1 {
					e[i].ID = idOf(1)
				}
			}
			return e
		}, "a duplicate was in the inbox: message 1"},
		"without a key": {edit(ledger.Called, 1, func(e *ledger.Entry) { e.Key = "" }), "without a key, and yet a duplicate: message 1"},
		"of nothing": {
			edit(ledger.Final, 1, func(e *ledger.Entry) { e.Status, e.Reason = "canceled", esh3ar.ReasonDuplicate }),
			"a duplicate of nothing: no call has its key: message 1",
		},
		"no history of the loser": {func(e []ledger.Entry) []ledger.Entry {
			return slices.DeleteFunc(e, func(e ledger.Entry) bool { return e.ID == idOf(1) && e.Kind == ledger.History })
		}, "tells no history of it: message 1"},
		"an event of the loser missing": {func(e []ledger.Entry) []ledger.Entry {
			return slices.DeleteFunc(e, func(e ledger.Entry) bool {
				return e.ID == idOf(1) && e.Kind == ledger.Seen && e.Consumer == "hub" && e.Version == 2
			})
		}, "consumer hub saw 1 of 2 events: message 1"},
		"two calls of one key": {func(e []ledger.Entry) []ledger.Entry {
			return append(e, ledger.Entry{Kind: ledger.Final, Number: 4, ID: idOf(4), To: to, Seq: 4, Life: 1, Status: "delivered"})
		}, "key k1 belongs to two calls, the other is that of message 1: message 4"},
		"overtaken": {func(e []ledger.Entry) []ledger.Entry {
			for i := range e {
				switch {
				case e[i].Seq == 2:
					e[i].Seq = 3
				case e[i].Seq == 3:
					e[i].Seq = 2
				}
				for j, slot := range e[i].Found {
					if slot.Seq > 1 {
						e[i].Found[j].Number, e[i].Found[j].ID = 5-slot.Number, idOf(5-slot.Number)
					}
				}
			}
			return e
		}, "overtook message 2, seq 3, that node 1 had in its spill: message 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := ledger.Judge(rules, consumers, c.plant(spilled()))
			if v.Clean() || !strings.Contains(strings.Join(v.Broken, "\n"), c.want) {
				t.Errorf("want %q, got %d breaches:\n%s", c.want, v.Breaches, strings.Join(v.Broken, "\n"))
			}
		})
	}
}

// TestASpillThatMayBeOvertaken: what was tried at another node, or called before the other was answered, has no order.
func TestASpillThatMayBeOvertaken(t *testing.T) {
	t.Parallel()
	swap := func(e *ledger.Entry) {
		if e.Seq == 2 || e.Seq == 3 {
			e.Seq = 5 - e.Seq
		}
	}
	for name, excuse := range map[string]func(e *ledger.Entry){
		"another node": func(e *ledger.Entry) {
			if is(e, ledger.Accepted, 3) {
				e.Node = 2
			}
		},
		"at the same time": func(e *ledger.Entry) {
			if is(e, ledger.Called, 3) {
				e.At = at(1)
			}
		},
	} {
		entries := spilled()
		for i := range entries {
			swap(&entries[i])
			excuse(&entries[i])
		}
		entries = slices.DeleteFunc(entries, func(e ledger.Entry) bool { return e.Kind == ledger.Synced })
		if v := ledger.Judge(rules, consumers, entries); strings.Contains(strings.Join(v.Broken, "\n"), "overtook") {
			t.Errorf("%s:\n%s", name, strings.Join(v.Broken, "\n"))
		}
	}
}

// TestPartsAreCounted by name, over rounds.
func TestPartsAreCounted(t *testing.T) {
	t.Parallel()
	entries := []ledger.Entry{
		{Kind: ledger.Killed, Part: "node 2"},
		{Kind: ledger.Cut, Part: "link"},
		{Kind: ledger.Paused, Part: "node 2"},
		{Kind: ledger.Wiped, Part: "Redis"},
	}
	v := ledger.Judge(rules, nil, entries)
	w := ledger.Judge(rules, nil, append(entries, ledger.Entry{Kind: ledger.Killed, Part: "node 1"}))
	v.Add(&w)
	want := []ledger.Part{{Name: "Redis", Wipes: 2}, {Name: "link", Cuts: 2}, {Name: "node 1", Kills: 1}, {Name: "node 2", Kills: 2, Pauses: 2}}
	if !slices.Equal(v.Parts, want) || v.Kills != 3 || v.Pauses != 2 || v.Cuts != 2 || v.Wipes != 2 {
		t.Errorf("%+v", v)
	}
}
