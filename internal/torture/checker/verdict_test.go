package checker_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

const (
	to    = 967771000001
	other = 967771000002

	ms = int64(time.Millisecond)
	// begin is a whole millisecond, the resolution of the node's clock.
	begin = int64(1_800_000_000_000) * ms
)

var (
	rules     = checker.Rules{Attempts: 3}
	consumers = []string{"sse", "hub"}
)

// idOf returns the id of a message that was created at the millisecond of its number.
func idOf(number int) string {
	return esh3ar.MessageIDAt(esh3ar.Time(begin/ms)+esh3ar.Time(number), [10]byte{9: byte(number)}).String()
}

// at returns a ledger time in milliseconds since begin.
func at(n int64) int64 { return begin + n*ms }

// round builds a ledger, a millisecond per entry.
type round struct {
	entries []checker.Entry
	now     int64
}

func (r *round) note(e checker.Entry) {
	r.now++
	e.At = at(r.now)
	if e.Began == 0 {
		e.Began = at(r.now) - ms/2
	}
	r.entries = append(r.entries, e)
}

func (r *round) call(e checker.Entry) {
	e.Kind, e.To, e.Lane = checker.Called, to, "normal"
	if e.Call == 0 {
		e.Call = e.Number
	}
	r.note(e)
}

func (r *round) accept(number int, seq uint64, key string) {
	call := number
	if number == 11 {
		call = 10
	}
	r.note(checker.Entry{Kind: checker.Accepted, Number: number, Call: call, To: to, Key: key, ID: idOf(number), Seq: seq})
}

func (r *round) receive(conn, number int, seq uint64) {
	r.note(checker.Entry{Kind: checker.Received, Conn: conn, Number: number, To: to, ID: idOf(number), Seq: seq, Lane: "normal", Attempt: 1})
}

func (r *round) ack(number int, status string) {
	r.note(checker.Entry{Kind: checker.Acking, ID: idOf(number), Status: status})
	r.note(checker.Entry{Kind: checker.Acked, ID: idOf(number), Status: status})
}

// rest adds the final state and the events of a message. The history reads "queued sent delivered"; a bar begins a life.
func (r *round) rest(number int, seq uint64, attempts int, history string) {
	var marks []checker.Mark
	life, last := 1, ""
	for word := range strings.FieldsSeq(history) {
		if word == "|" {
			life++
			continue
		}
		mark := checker.Mark{Version: len(marks) + 1, Life: life, Status: word, At: at(r.now + int64(len(marks)))}
		if word == "failed" {
			mark.Attempt = 3
		}
		marks, last = append(marks, mark), word
	}
	for i, consumer := range consumers {
		for _, m := range marks {
			e := checker.Entry{
				Kind: checker.Seen, Consumer: consumer, Conn: 100 + i, Number: number, ID: idOf(number),
				Version: m.Version, Life: m.Life, Status: m.Status, Attempt: m.Attempt,
			}
			r.note(e)
			r.entries[len(r.entries)-1].At = m.At
			if i == 0 {
				r.entries[len(r.entries)-1].Position = positionOf(r.now)
			}
		}
	}
	r.note(checker.Entry{Kind: checker.Final, Number: number, ID: idOf(number), To: to, Seq: seq, Life: life, Status: last, Attempt: attempts})
	r.note(checker.Entry{Kind: checker.History, Number: number, ID: idOf(number), Events: marks})
}

func positionOf(n int64) string { return time.UnixMilli(n).UTC().Format("15:04:05.000") }

// clean returns a small round without a breach, in which every kind of entry occurs.
func clean() []checker.Entry {
	r := &round{}
	for i, name := range consumers {
		r.note(checker.Entry{Kind: checker.Watching, Consumer: name, Conn: 100 + i})
	}
	r.note(checker.Entry{Kind: checker.Opened, Conn: 1, To: to})
	r.call(checker.Entry{Number: 1, Key: "k1"})
	r.call(checker.Entry{Number: 12, Key: "k1"})
	r.note(checker.Entry{Kind: checker.Unknown, Number: 1, Call: 1, Key: "k1"})
	r.note(checker.Entry{Kind: checker.Killed})
	r.note(checker.Entry{Kind: checker.Paused})
	r.accept(1, 1, "k1")
	r.note(checker.Entry{Kind: checker.Mismatched, Number: 12, Call: 12, Key: "k1"})
	r.accept(1, 1, "k1")
	r.call(checker.Entry{Number: 2})
	r.accept(2, 2, "")
	r.call(checker.Entry{Number: 3})
	r.note(checker.Entry{Kind: checker.Refused, Number: 3, Call: 3, Status: "503"})
	r.call(checker.Entry{Number: 4})
	r.note(checker.Entry{Kind: checker.Unknown, Number: 4, Call: 4})
	r.receive(1, 1, 1)
	r.receive(1, 2, 2)
	r.note(checker.Entry{Kind: checker.Closed, Conn: 1})
	r.note(checker.Entry{Kind: checker.Opened, Conn: 2, To: to})
	r.receive(2, 1, 1)
	r.receive(2, 4, 3)
	r.ack(1, "delivered")
	r.ack(2, "read")
	r.ack(4, "delivered")
	r.call(checker.Entry{Number: 5, SendAt: at(200)})
	r.accept(5, 0, "")
	r.call(checker.Entry{Number: 6, TTL: int64(time.Second)})
	r.accept(6, 4, "")
	r.call(checker.Entry{Number: 7})
	r.accept(7, 5, "")
	r.note(checker.Entry{Kind: checker.Canceling, ID: idOf(7)})
	r.note(checker.Entry{Kind: checker.Canceled, ID: idOf(7)})
	r.note(checker.Entry{Kind: checker.Canceling, ID: idOf(1)})
	r.note(checker.Entry{Kind: checker.Uncancelable, ID: idOf(1)})
	r.call(checker.Entry{Number: 8})
	r.accept(8, 6, "")
	r.call(checker.Entry{Number: 9})
	r.accept(9, 7, "")
	r.call(checker.Entry{Number: 10, Key: "k10"})
	r.call(checker.Entry{Number: 11, Key: "k10", Call: 10})
	r.accept(10, 8, "k10")
	r.accept(11, 9, "k10")
	for _, m := range []struct {
		number int
		seq    uint64
	}{{8, 6}, {9, 7}, {10, 8}, {11, 9}} {
		r.receive(2, m.number, m.seq)
	}
	r.ack(10, "delivered")
	r.ack(11, "delivered")
	r.note(checker.Entry{Kind: checker.Replaying, ID: idOf(8)})
	r.note(checker.Entry{Kind: checker.Replayed, ID: idOf(8), Seq: 10, Life: 2})
	r.note(checker.Entry{Kind: checker.Replaying})
	r.note(checker.Entry{Kind: checker.ReplayedAll})
	r.receive(2, 8, 10)
	r.ack(8, "delivered")
	r.note(checker.Entry{Kind: checker.Synced, To: to, After: 2, Limit: 4, Found: []checker.Slot{{Seq: 3, Number: 4}, {Seq: 6, Number: 8}, {Seq: 7, Number: 9}, {Seq: 8, Number: 10}}})
	r.now = 201
	r.receive(2, 5, 11)
	r.ack(5, "delivered")
	r.note(checker.Entry{Kind: checker.Synced, To: to, After: 7, Limit: 9, Found: []checker.Slot{{Seq: 8, Number: 10}, {Seq: 9, Number: 11}, {Seq: 10, Number: 8}, {Seq: 11, Number: 5}}})
	r.now = 2000
	r.rest(1, 1, 1, "queued sent delivered")
	r.rest(2, 2, 1, "queued delivered read")
	r.rest(4, 3, 1, "queued delivered")
	r.rest(5, 11, 1, "scheduled queued sent delivered")
	r.rest(6, 4, 0, "queued pending expired")
	r.rest(7, 5, 0, "queued canceled")
	r.rest(8, 10, 1, "queued sent failed | queued sent delivered")
	r.rest(9, 7, 3, "queued sent failed")
	r.rest(10, 8, 1, "queued sent delivered")
	r.rest(11, 9, 1, "queued sent delivered")
	r.note(checker.Entry{Kind: checker.Dead, ID: idOf(9)})
	return r.entries
}

func TestJudge_NoBreach_IsClean(t *testing.T) {
	t.Parallel()
	v := checker.Judge(rules, consumers, clean())
	if !v.Clean() || v.Lost != 0 {
		t.Fatalf("%+v\n%s", v, strings.Join(v.Broken, "\n"))
	}
	want := checker.Verdict{
		Rounds: 1, Kills: 1, Pauses: 1, Accepted: 9, Unknown: 2, Refused: 1, Mismatched: 1, Again: 1, Scheduled: 1, Mortal: 1, Cancels: 2,
		Replays: 1, Received: 8, Repeats: 2, Syncs: 2, Delivered: 6, Read: 1, Expired: 1, Canceled: 1, Failed: 1, Dead: 1,
	}
	events := 3 + 3 + 2 + 4 + 3 + 2 + 6 + 3 + 3 + 3
	for _, name := range consumers {
		want.Consumers = append(want.Consumers, checker.Consumer{Name: name, Connections: 1, Events: events})
	}
	want.Keys = checker.Checked{Histories: 1, Operations: 4}
	want.Inboxes = checker.Checked{Histories: 1, Operations: 10 + 2}
	if got := v; !same(&got, &want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func same(a, b *checker.Verdict) bool {
	return a.Rounds == b.Rounds && a.Kills == b.Kills && a.Pauses == b.Pauses && a.Accepted == b.Accepted && a.Unknown == b.Unknown &&
		a.Refused == b.Refused && a.Mismatched == b.Mismatched && a.Again == b.Again && a.Scheduled == b.Scheduled && a.Mortal == b.Mortal &&
		a.Cancels == b.Cancels && a.Replays == b.Replays && a.Received == b.Received && a.Repeats == b.Repeats && a.Syncs == b.Syncs &&
		a.Delivered == b.Delivered && a.Read == b.Read && a.Expired == b.Expired && a.Canceled == b.Canceled && a.Failed == b.Failed &&
		a.Dead == b.Dead && slices.Equal(a.Consumers, b.Consumers) && a.Keys == b.Keys && a.Inboxes == b.Inboxes
}

// edit returns a function that changes the entries of one kind of one message.
func edit(kind checker.Kind, number int, change func(e *checker.Entry)) func([]checker.Entry) []checker.Entry {
	return func(entries []checker.Entry) []checker.Entry {
		for i := range entries {
			if is(&entries[i], kind, number) {
				change(&entries[i])
			}
		}
		return entries
	}
}

func is(e *checker.Entry, kind checker.Kind, number int) bool {
	return e.Kind == kind && (e.Number == number || e.ID == idOf(number))
}

// without returns a function that removes the entries of one kind of one message.
func without(kind checker.Kind, number int) func([]checker.Entry) []checker.Entry {
	return func(entries []checker.Entry) []checker.Entry {
		return slices.DeleteFunc(entries, func(e checker.Entry) bool { return is(&e, kind, number) })
	}
}

// with returns a function that adds an entry before the first entry about the final state.
func with(e checker.Entry) func([]checker.Entry) []checker.Entry {
	return func(entries []checker.Entry) []checker.Entry {
		at := slices.IndexFunc(entries, func(e checker.Entry) bool { return e.Kind == checker.Seen })
		if e.At == 0 {
			e.At = entries[at-1].At + ms/4
		}
		if e.Began == 0 {
			e.Began = entries[at-1].At + ms/8
		}
		return slices.Insert(entries, at, e)
	}
}

func both(plants ...func([]checker.Entry) []checker.Entry) func([]checker.Entry) []checker.Entry {
	return func(entries []checker.Entry) []checker.Entry {
		for _, p := range plants {
			entries = p(entries)
		}
		return entries
	}
}

// retold returns a function that changes one event in the history and at all consumers.
func retold(number, version int, change func(status *string, life *int, at *int64)) func([]checker.Entry) []checker.Entry {
	return func(entries []checker.Entry) []checker.Entry {
		for i := range entries {
			e := &entries[i]
			if is(e, checker.Seen, number) && e.Version == version {
				change(&e.Status, &e.Life, &e.At)
			}
			if is(e, checker.History, number) {
				m := &e.Events[version-1]
				change(&m.Status, &m.Life, &m.At)
			}
		}
		return entries
	}
}

func status(word string) func(*string, *int, *int64) {
	return func(s *string, _ *int, _ *int64) { *s = word }
}

// received returns a delivery on connection 2.
func received(number int, seq uint64) checker.Entry {
	return checker.Entry{Kind: checker.Received, Conn: 2, Number: number, To: to, ID: idOf(number), Seq: seq, Lane: "normal", Attempt: 1}
}

// TestJudge_PlantedBreach_IsFound changes one thing at a time.
func TestJudge_PlantedBreach_IsFound(t *testing.T) {
	t.Parallel()
	type plant = func([]checker.Entry) []checker.Entry
	for name, c := range map[string]struct {
		plant plant
		want  string
	}{
		// of one message
		"lost":                {both(without(checker.Received, 2), without(checker.Acking, 2)), "LOST: accepted, and no phone received it: message 2"},
		"unknown to the node": {both(without(checker.Final, 2), without(checker.History, 2)), "LOST: accepted, and the node does not know it: message 2"},
		"absent for a while":  {with(checker.Entry{Kind: checker.Absent, ID: idOf(2)}), "accepted, but later answered 404: message 2"},
		"nobody sent it":      {with(received(99, 12)), "message 99 to +967771000001, id " + idOf(99) + ", was never sent"},
		"an unknown id":       {with(checker.Entry{Kind: checker.Acked, ID: "x"}), "id x is acked and belongs to no message"},
		"an unknown kind":     {with(checker.Entry{Kind: "x"}), `unknown kind "x"`},
		"stored twice": {with(func() checker.Entry {
			e := received(1, 12)
			e.ID = idOf(90)
			return e
		}()), "stored 2 times: message 1"},
		"one id for two":       {with(func() checker.Entry { e := received(4, 3); e.ID = idOf(1); return e }()), "belongs to message 1 as well: message 4"},
		"wrong phone":          {edit(checker.Received, 2, func(e *checker.Entry) { e.To = other }), "reached +967771000002: message 2"},
		"wrong lane":           {edit(checker.Received, 2, func(e *checker.Entry) { e.Lane = "low" }), "received in lane low: message 2"},
		"refused and stored":   {with(received(3, 12)), "stored although the call was refused: message 3"},
		"a good call refused":  {edit(checker.Refused, 3, func(e *checker.Entry) { e.Status = "500" }), "a good call was answered 500: message 3"},
		"mismatched and there": {with(received(12, 12)), "stored although its key belongs to another call: message 12"},
		"no seq":               {edit(checker.Accepted, 2, func(e *checker.Entry) { e.Seq = 0 }), "accepted as stored, but without a seq: message 2"},
		"never at rest": {
			both(retold(4, 2, status("sent")), edit(checker.Final, 4, func(e *checker.Entry) { e.Status = "sent" })),
			"never reached a final status: message 4",
		},
		"acknowledgement taken back": {
			both(retold(10, 3, status("expired")), edit(checker.Final, 10, func(e *checker.Entry) { e.Status = "expired" })),
			"a completed acknowledgement was undone: message 10",
		},
		"reading taken back": {both(edit(checker.Final, 2, func(e *checker.Entry) { e.Status = "delivered" }),
			edit(checker.History, 2, func(e *checker.Entry) { e.Events = e.Events[:2] })), "a completed acknowledgement was undone: message 2"},
		"cancel taken back": {
			both(retold(7, 2, status("expired")), edit(checker.Final, 7, func(e *checker.Entry) { e.Status = "expired" })),
			"a confirmed cancel was undone: message 7",
		},
		"replay taken back": {both(edit(checker.Final, 8, func(e *checker.Entry) { e.Life, e.Seq, e.Status = 1, 6, "failed" }),
			edit(checker.History, 8, func(e *checker.Entry) { e.Events = e.Events[:3] })), "a confirmed replay was undone: life 2 had begun: message 8"},
		"delivered by nobody": {both(without(checker.Acking, 4), without(checker.Acked, 4)), "delivered without an acknowledgement: message 4"},
		"read by nobody": {
			both(edit(checker.Acking, 2, func(e *checker.Entry) { e.Status = "delivered" }), without(checker.Acked, 2)),
			"read without an acknowledgement of reading: message 2",
		},
		"canceled by nobody":  {both(without(checker.Canceling, 7), without(checker.Canceled, 7)), "canceled without a request: message 7"},
		"canceled and not":    {with(checker.Entry{Kind: checker.Uncancelable, ID: idOf(7)}), "canceled, but a later cancel was answered 409: message 7"},
		"failed too early":    {both(edit(checker.History, 9, func(e *checker.Entry) { e.Events[2].Attempt = 2 }), without(checker.Seen, 9)), "failed after 2 attempts of 3: message 9"},
		"one attempt more":    {edit(checker.Received, 9, func(e *checker.Entry) { e.Attempt = 4 }), "pushed as attempt 4 of 3: message 9"},
		"no dead letter":      {without(checker.Dead, 9), "failed is true but listed as a dead letter is false: message 9"},
		"a wrong dead letter": {with(checker.Entry{Kind: checker.Dead, ID: idOf(1)}), "failed is false but listed as a dead letter is true: message 1"},

		// of time
		"before its time":   {edit(checker.Received, 5, func(e *checker.Entry) { e.At = at(140) }), "received 08:00:00.140, before its time: message 5"},
		"entered too early": {retold(5, 2, func(_ *string, _ *int, t *int64) { *t = at(149) }), "entered its inbox 08:00:00.149, before its time: message 5"},
		"expired too early": {retold(6, 3, func(_ *string, _ *int, t *int64) { *t = at(1) }), "expired 08:00:00.001, before its time: message 6"},
		"expired without":   {edit(checker.Called, 6, func(e *checker.Entry) { e.TTL = 0 }), "before its time: message 6"},
		"after its expiry": {both(with(checker.Entry{Kind: checker.Opened, Conn: 3, To: to, Began: at(1100), At: at(1100)}),
			with(func() checker.Entry { e := received(6, 4); e.Conn, e.At = 3, at(1101); return e }())), "connection 3, which began after the message expired: message 6"},
		"after its cancel": {both(with(checker.Entry{Kind: checker.Opened, Conn: 3, To: to}),
			with(func() checker.Entry { e := received(7, 5); e.Conn = 3; return e }())), "connection 3, which began after the message was canceled: message 7"},

		// of seqs
		"out of order":  {func(e []checker.Entry) []checker.Entry { return swapReceived(e, 1, 2) }, "on connection 1 seq 1 came after 2 of lane normal: message 1"},
		"no connection": {with(func() checker.Entry { e := received(1, 1); e.Conn = 7; return e }()), "connection 7, which is not open: message 1"},
		"spent on nobody": {
			both(with(checker.Entry{Kind: checker.Opened, Conn: 3, To: to, Quiet: true}),
				with(func() checker.Entry { e := received(4, 3); e.Conn = 3; return e }()), with(func() checker.Entry { e := received(4, 3); e.Conn = 3; return e }())),
			"pushed again on connection 3, which had sent nothing since: message 4",
		},
		"not listed":     {with(checker.Entry{Kind: checker.Unlisted, ID: idOf(1)}), "returns the message by its id but does not list it: message 1"},
		"same seq twice": {edit(checker.Received, 4, func(e *checker.Entry) { e.Seq = 2 }), "seq 2 of +967771000001 belongs to message 2 as well"},
		"a gap": {both(edit(checker.Received, 5, func(e *checker.Entry) { e.Seq = 12 }), edit(checker.Final, 5, func(e *checker.Entry) { e.Seq = 12 }),
			edit(checker.Synced, 0, func(e *checker.Entry) { e.Found = nil })), "has 11 inbox entries, but this is seq 12: message 5"},
		"another seq":    {with(received(1, 9)), "has 2 seqs and entered its inbox 1 times: message 1"},
		"told otherwise": {edit(checker.Final, 2, func(e *checker.Entry) { e.Seq = 12 }), "life 1 has seq 12"},
		"a replay into the past, unanswered": {both(without(checker.Replayed, 8), edit(checker.Accepted, 8, func(e *checker.Entry) { e.Seq = 10 }),
			edit(checker.Final, 8, func(e *checker.Entry) { e.Seq = 6 })), "life 2 has seq 6, which is not above seq 10 of life 1: message 8"},
		"a replay into the past": {edit(checker.Replayed, 8, func(e *checker.Entry) { e.Seq = 5 }), "replayed into seq 5, which is not above seq 6 of life 1"},

		// of histories
		"version missing": {edit(checker.History, 1, func(e *checker.Entry) { e.Events[1].Version = 3 }), "the history has version 3 at position 2: message 1"},
		"falling":         {retold(1, 3, status("pending")), `the history goes from "sent" to "pending": message 1`},
		"standing":        {retold(7, 2, status("queued")), `the history goes from "queued" to "queued": message 7`},
		"wrong beginning": {retold(1, 1, status("pending")), `the history begins with "pending" in life 1: message 1`},
		"unknown status":  {retold(1, 2, status("lurking")), `the history has the status "lurking": message 1`},
		"a life too many": {retold(10, 3, func(_ *string, life *int, _ *int64) { *life = 2 }), `from "sent" in life 1 to "delivered" in life 2: message 10`},
		"replayed by nobody": {both(without(checker.Replaying, 8), func(e []checker.Entry) []checker.Entry {
			return slices.DeleteFunc(e, func(e checker.Entry) bool { return e.Kind == checker.Replaying })
		}), "in life 2 after 0 replays by id and 0 by filter: message 8"},
		"history of another": {edit(checker.Final, 1, func(e *checker.Entry) { e.Status = "read" }), `the message is "read" in life 1 and its history ends with "delivered" in life 1: message 1`},
		"no history":         {without(checker.History, 1), "returns the message without a history: message 1"},

		// of consumers
		"an event missing": {func(e []checker.Entry) []checker.Entry {
			return slices.DeleteFunc(e, func(e checker.Entry) bool { return is(&e, checker.Seen, 1) && e.Consumer == "hub" && e.Version == 3 })
		}, "consumer hub saw 2 of 3 events: message 1"},
		"an event skipped": {func(e []checker.Entry) []checker.Entry {
			return slices.DeleteFunc(e, func(e checker.Entry) bool { return is(&e, checker.Seen, 1) && e.Consumer == "hub" && e.Version == 2 })
		}, "consumer hub saw version 3 before version 2: message 1"},
		"an event of nothing": {
			with(checker.Entry{Kind: checker.Seen, Consumer: "hub", Conn: 101, Number: 1, ID: idOf(1), Version: 1, Life: 1, Status: "read", At: at(2000)}),
			`version 1 is "read" in life 1 in one source and "queued" in life 1 in another: message 1`,
		},
		"an event too many": {func(e []checker.Entry) []checker.Entry {
			return append(e, checker.Entry{Kind: checker.Seen, Consumer: "hub", Conn: 101, Number: 1, ID: idOf(1), Version: 4, Life: 1, Status: "read"})
		}, "consumer hub saw 4 events, but the history has 3: message 1"},
		"a wrong version": {with(checker.Entry{Kind: checker.Seen, Consumer: "hub", Conn: 101, Number: 1, ID: idOf(1), Version: 1 << 30}), "an event has version 1073741824: message 1"},
		"a wrong number":  {edit(checker.Seen, 1, func(e *checker.Entry) { e.ID = idOf(1); e.Number = 0 }), "under the number 0: message 1"},
		"going back": {func(e []checker.Entry) []checker.Entry {
			at := slices.IndexFunc(e, func(e checker.Entry) bool { return e.Position != "" })
			e[at+1].Position = e[at].Position
			return e
		}, "consumer sse was at position"},
		"events gone": {with(checker.Entry{Kind: checker.Reset, Consumer: "sse"}), "consumer sse received a reset: events are lost"},

		// of histories of calls
		"a key with two ids": {func(e []checker.Entry) []checker.Entry {
			at := slices.IndexFunc(e, func(e checker.Entry) bool { return is(&e, checker.Accepted, 1) })
			e[at].ID = idOf(90)
			return e
		}, "key k1 is not linearizable"},
		"a key that was nobody's": {func(e []checker.Entry) []checker.Entry {
			at := slices.IndexFunc(e, func(e checker.Entry) bool { return e.Kind == checker.Mismatched })
			e[at].Began, e[at].At = e[5].Began-ms/2, e[5].Began-ms/4 // before the first call of its duplicate
			return e
		}, "explains that the call of message 12 was mismatched"},
		"a sync that misses one": {func(e []checker.Entry) []checker.Entry {
			at := lastSync(e)
			e[at].Found = slices.Delete(e[at].Found, 1, 2)
			return e
		}, "explains that Sync(7, 9) found [{8 10} {10 8} {11 5}]"},
		"a sync that ends early": {func(e []checker.Entry) []checker.Entry {
			at := lastSync(e)
			e[at].Found = e[at].Found[:3]
			return e
		}, "explains that Sync(7, 9) found"},
		"a sync beyond its limit": {func(e []checker.Entry) []checker.Entry {
			e[lastSync(e)].Limit = 3
			return e
		}, "explains that Sync(7, 3) found"},
		"a sync of the past": {func(e []checker.Entry) []checker.Entry {
			at := slices.IndexFunc(e, func(e checker.Entry) bool { return e.Kind == checker.Synced })
			e[at].Found = e[at].Found[:1]
			e[at].Limit = 9
			return e
		}, "explains that Sync(2, 9) found [{3 4}]"},
		"a sync to the wrong phone": {func(e []checker.Entry) []checker.Entry {
			e[lastSync(e)].To = other
			return e
		}, "+967771000002 found it by a Sync: message 10"},
		"appended out of time": {both(edit(checker.Accepted, 6, func(e *checker.Entry) { e.Seq = 5 }), edit(checker.Accepted, 7, func(e *checker.Entry) { e.Seq = 4 }),
			edit(checker.Final, 6, func(e *checker.Entry) { e.Seq = 5 }), edit(checker.Final, 7, func(e *checker.Entry) { e.Seq = 4 })), "is not linearizable: no order of its 10 appends and 2 syncs explains that seq 5 to 5 was taken"},
		"a batch in parts": {func(e []checker.Entry) []checker.Entry {
			for i := range e { // another message between the two
				switch {
				case e[i].Seq == 7:
					e[i].Seq = 8
				case e[i].Seq == 8:
					e[i].Seq = 7
				}
				for j, slot := range e[i].Found {
					switch slot {
					case checker.Slot{Seq: 7, Number: 9}:
						e[i].Found[j].Number = 10
					case checker.Slot{Seq: 8, Number: 10}:
						e[i].Found[j].Number = 9
					}
				}
			}
			return e
		}, "a batch was stored in parts: of its messages to one recipient, 2 have the seqs 7 9: message 10"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := checker.Judge(rules, consumers, c.plant(clean()))
			if v.Clean() || !strings.Contains(strings.Join(v.Broken, "\n"), c.want) {
				t.Errorf("want %q, got %d breaches:\n%s", c.want, v.Breaches, strings.Join(v.Broken, "\n"))
			}
		})
	}
}

func lastSync(entries []checker.Entry) (last int) {
	for i := range entries {
		if entries[i].Kind == checker.Synced {
			last = i
		}
	}
	return last
}

// swapReceived exchanges the first deliveries of two messages.
func swapReceived(entries []checker.Entry, a, b int) []checker.Entry {
	find := func(number int) int {
		return slices.IndexFunc(entries, func(e checker.Entry) bool { return is(&e, checker.Received, number) })
	}
	i, j := find(a), find(b)
	entries[i], entries[j] = entries[j], entries[i]
	return entries
}

// TestBook_SecondRound_ContinuesFromCarry checks that the second round starts at the end of the first one and that no
// message of the first appears in it.
func TestBook_SecondRound_ContinuesFromCarry(t *testing.T) {
	t.Parallel()
	first := checker.NewBook(rules, checker.Carry{Consumers: consumers})
	for _, e := range clean() {
		first.Note(&e)
	}
	v, carry := first.Judge(time.Minute)
	if !v.Clean() || carry.Before != 13 || carry.Counters[to] != 11 {
		t.Fatalf("%+v, %+v", v.Broken, carry)
	}
	second := func(seq uint64, more ...checker.Entry) checker.Verdict {
		r := &round{now: 5000}
		r.call(checker.Entry{Number: 14})
		r.accept(14, seq, "")
		r.note(checker.Entry{Kind: checker.Opened, Conn: 2, To: to})
		r.receive(2, 14, seq)
		r.ack(14, "delivered")
		// A consumer that reconnected may see again what it saw in the first round, and a Sync shows it.
		r.note(checker.Entry{Kind: checker.Seen, Consumer: "hub", Conn: 102, Number: 2, ID: idOf(2), Version: 3, Life: 1, Status: "read"})
		r.note(checker.Entry{Kind: checker.Synced, To: to, After: 9, Limit: 9, Found: []checker.Slot{{Seq: 10, Number: 8}, {Seq: 11, Number: 5}, {Seq: seq, Number: 14}}})
		r.entries = append(r.entries, more...)
		r.rest(14, seq, 1, "queued sent delivered")
		b := checker.NewBook(rules, carry)
		for _, e := range r.entries {
			b.Note(&e)
		}
		w, _ := b.Judge(time.Minute)
		return w
	}
	w := second(12)
	if v.Add(&w); !v.Clean() || v.Rounds != 2 || v.Accepted != 10 || v.Consumers[1].Repeats != 1 || v.Consumers[1].Events != 35 {
		t.Errorf("%+v\n%s", v, strings.Join(v.Broken, "\n"))
	}
	for want, w := range map[string]checker.Verdict{
		"ended in an earlier round and is received in this one": second(12, received(2, 2)),
		"was assigned in an earlier round":                      second(11),
		"has 12 inbox entries, but this is seq 13":              second(13),
	} {
		if w.Clean() || !strings.Contains(strings.Join(w.Broken, "\n"), want) {
			t.Errorf("want %q, got %s", want, strings.Join(w.Broken, "\n"))
		}
	}
}

// TestVerdict_ManyBreaches_DescribesTheFirst checks that all breaches are counted and a bounded number is described.
func TestVerdict_ManyBreaches_DescribesTheFirst(t *testing.T) {
	t.Parallel()
	r := &round{}
	for i := 1; i <= 100; i++ {
		r.call(checker.Entry{Number: i})
		r.accept(i, uint64(i), "")
	}
	v := checker.Judge(rules, nil, r.entries)
	if w := v; v.Lost != 100 || v.Breaches < 100 || len(v.Broken) != checker.MaxStories {
		t.Errorf("%d lost, %d breaches, %d stories", w.Lost, w.Breaches, len(w.Broken))
	}
	w := v
	if v.Add(&w); v.Lost != 200 || len(v.Broken) != checker.MaxStories {
		t.Errorf("twice: %d lost, %d stories", v.Lost, len(v.Broken))
	}
}

func TestBook_Behind_CountsUnseenEvents(t *testing.T) {
	t.Parallel()
	b := checker.NewBook(rules, checker.Carry{Consumers: consumers})
	entries := clean()
	missed := 0
	for _, e := range entries {
		if is(&e, checker.Seen, 1) && e.Consumer == "hub" {
			missed++
			continue
		}
		b.Note(&e)
	}
	if n := b.Behind(); n != missed || missed != 3 {
		t.Errorf("behind by %d, want %d", n, missed)
	}
}
