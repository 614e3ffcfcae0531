package checker_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

// twinID is the id of message 1 at node 2.
const twinID = 101

// spilled returns a round in which node 1 cannot reach the store. It accepts message 1 under a key that node 2 accepts
// as well, and messages 2 and 3 for the same recipient.
func spilled() []checker.Entry {
	r := &round{}
	for i, name := range consumers {
		r.note(checker.Entry{Kind: checker.Watching, Consumer: name, Conn: 100 + i})
	}
	r.note(checker.Entry{Kind: checker.Opened, Conn: 1, To: to})
	accepted := func(number, node int, key string) checker.Entry {
		return checker.Entry{Kind: checker.Accepted, Number: number, Call: number, Key: key, To: to, ID: idOf(number), Node: node, Spilled: true}
	}
	r.call(checker.Entry{Number: 1, Key: "k1"})
	r.note(accepted(1, 1, "k1"))
	r.note(checker.Entry{Kind: checker.Canceling, ID: idOf(1)})
	r.note(checker.Entry{Kind: checker.Absent, ID: idOf(1)})
	r.note(checker.Entry{Kind: checker.Accepted, Number: 1, Call: 1, Key: "k1", To: to, ID: idOf(twinID), Node: 2, Seq: 1})
	r.note(accepted(1, 1, "k1"))
	r.call(checker.Entry{Number: 4, Key: "k1"})
	r.note(checker.Entry{Kind: checker.Mismatched, Number: 4, Call: 4, Key: "k1", Node: 1})
	r.call(checker.Entry{Number: 2})
	r.note(accepted(2, 1, ""))
	r.call(checker.Entry{Number: 3})
	r.note(accepted(3, 1, ""))
	for number, id := range []string{idOf(twinID), idOf(2), idOf(3)} {
		number++
		r.note(checker.Entry{Kind: checker.Received, Conn: 1, Number: number, To: to, ID: id, Seq: uint64(number), Lane: "normal", Attempt: 1})
		r.note(checker.Entry{Kind: checker.Acking, ID: id, Status: "delivered"})
	}
	r.note(checker.Entry{Kind: checker.Synced, To: to, Limit: 9, Found: []checker.Slot{
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

func TestJudge_SpillWithoutBreach_IsClean(t *testing.T) {
	t.Parallel()
	v := checker.Judge(rules, consumers, spilled())
	if !v.Clean() || v.Accepted != 3 || v.Spilled != 3 || v.Duplicates != 1 || v.Again != 1 || v.Delivered != 3 || v.Canceled != 1 || v.Consumers[1].Events != 8 {
		t.Errorf("%+v\n%s", v, strings.Join(v.Broken, "\n"))
	}
}

// TestJudge_SpillBreach_IsFound changes one entry at a time.
func TestJudge_SpillBreach_IsFound(t *testing.T) {
	t.Parallel()
	loser := func(kind checker.Kind, change func(e *checker.Entry)) func([]checker.Entry) []checker.Entry {
		return func(entries []checker.Entry) []checker.Entry {
			for i := range entries {
				if entries[i].Kind == kind && entries[i].ID == idOf(1) {
					change(&entries[i])
				}
			}
			return entries
		}
	}
	for name, c := range map[string]struct {
		plant func([]checker.Entry) []checker.Entry
		want  string
	}{
		"forgotten": {func(e []checker.Entry) []checker.Entry {
			return slices.DeleteFunc(e, func(e checker.Entry) bool {
				return e.Number == 3 && (e.Kind == checker.Final || e.Kind == checker.History)
			})
		}, "LOST: accepted, and the node does not know it: message 3"},
		"the loser forgotten": {func(e []checker.Entry) []checker.Entry {
			return slices.DeleteFunc(e, func(e checker.Entry) bool {
				return e.ID == idOf(1) && (e.Kind == checker.Final || e.Kind == checker.History)
			})
		}, "LOST: accepted, and the node does not know it: message 1"},
		"with a seq":     {edit(checker.Accepted, 2, func(e *checker.Entry) { e.Seq = 2 }), "accepted as spilled, but with seq 2: message 2"},
		"not said":       {edit(checker.Accepted, 2, func(e *checker.Entry) { e.Spilled = false }), "accepted as stored, but without a seq: message 2"},
		"without an id":  {edit(checker.Accepted, 2, func(e *checker.Entry) { e.ID = "" }), "accepted without an id: message 2"},
		"both are there": {loser(checker.Final, func(e *checker.Entry) { e.Reason = "" }), "stored 2 times: message 1"},
		"stored and given up": {
			loser(checker.Accepted, func(e *checker.Entry) { e.Spilled, e.Seq = false, 4 }),
			"accepted as stored, but later canceled as a duplicate: message 1",
		},
		"pushed": {func(e []checker.Entry) []checker.Entry {
			for i := range e {
				if e[i].Kind == checker.Received && e[i].Number == 1 {
					e[i].ID = idOf(1)
				}
			}
			return e
		}, "canceled as a duplicate, but it was in the inbox: message 1"},
		"without a key": {edit(checker.Called, 1, func(e *checker.Entry) { e.Key = "" }), "canceled as a duplicate, but its call had no key: message 1"},
		"of nothing": {
			edit(checker.Final, 1, func(e *checker.Entry) { e.Status, e.Reason = "canceled", esh3ar.ReasonDuplicate }),
			"canceled as a duplicate, but no call owns its key: message 1",
		},
		"no history of the loser": {func(e []checker.Entry) []checker.Entry {
			return slices.DeleteFunc(e, func(e checker.Entry) bool { return e.ID == idOf(1) && e.Kind == checker.History })
		}, "returns the message without a history: message 1"},
		"an event of the loser missing": {func(e []checker.Entry) []checker.Entry {
			return slices.DeleteFunc(e, func(e checker.Entry) bool {
				return e.ID == idOf(1) && e.Kind == checker.Seen && e.Consumer == "hub" && e.Version == 2
			})
		}, "consumer hub saw 1 of 2 events: message 1"},
		"two calls of one key": {func(e []checker.Entry) []checker.Entry {
			return append(e, checker.Entry{Kind: checker.Final, Number: 4, ID: idOf(4), To: to, Seq: 4, Life: 1, Status: "delivered"})
		}, "key k1 is owned by two calls; the other is the call of message 1: message 4"},
		"overtaken": {func(e []checker.Entry) []checker.Entry {
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
		}, "overtook message 2, seq 3, in the spill of node 1: message 3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := checker.Judge(rules, consumers, c.plant(spilled()))
			if v.Clean() || !strings.Contains(strings.Join(v.Broken, "\n"), c.want) {
				t.Errorf("want %q, got %d breaches:\n%s", c.want, v.Breaches, strings.Join(v.Broken, "\n"))
			}
		})
	}
}

// TestJudge_UnorderedCalls_MayOvertakeSpill covers calls at different nodes and concurrent calls: their order is
// undefined.
func TestJudge_UnorderedCalls_MayOvertakeSpill(t *testing.T) {
	t.Parallel()
	swap := func(e *checker.Entry) {
		if e.Seq == 2 || e.Seq == 3 {
			e.Seq = 5 - e.Seq
		}
	}
	for name, excuse := range map[string]func(e *checker.Entry){
		"another node": func(e *checker.Entry) {
			if is(e, checker.Accepted, 3) {
				e.Node = 2
			}
		},
		"at the same time": func(e *checker.Entry) {
			if is(e, checker.Called, 3) {
				e.At = at(1)
			}
		},
	} {
		entries := spilled()
		for i := range entries {
			swap(&entries[i])
			excuse(&entries[i])
		}
		entries = slices.DeleteFunc(entries, func(e checker.Entry) bool { return e.Kind == checker.Synced })
		if v := checker.Judge(rules, consumers, entries); strings.Contains(strings.Join(v.Broken, "\n"), "overtook") {
			t.Errorf("%s:\n%s", name, strings.Join(v.Broken, "\n"))
		}
	}
}

func TestVerdict_Add_CountsFaultsByPart(t *testing.T) {
	t.Parallel()
	entries := []checker.Entry{
		{Kind: checker.Killed, Part: "node 2"},
		{Kind: checker.Cut, Part: "link"},
		{Kind: checker.Paused, Part: "node 2"},
		{Kind: checker.Wiped, Part: "Redis"},
	}
	v := checker.Judge(rules, nil, entries)
	w := checker.Judge(rules, nil, append(entries, checker.Entry{Kind: checker.Killed, Part: "node 1"}))
	v.Add(&w)
	want := []checker.Part{{Name: "Redis", Wipes: 2}, {Name: "link", Cuts: 2}, {Name: "node 1", Kills: 1}, {Name: "node 2", Kills: 2, Pauses: 2}}
	if !slices.Equal(v.Parts, want) || v.Kills != 3 || v.Pauses != 2 || v.Cuts != 2 || v.Wipes != 2 {
		t.Errorf("%+v", v)
	}
}
