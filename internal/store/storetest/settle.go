package storetest

import (
	"slices"

	"github.com/esh3artech/esh3ar"
)

var settleTests = map[string]func(*fixture){
	"all pairs of statuses: only legal changes apply": allPairs,
	"conditions: all must hold":                       conditions,
	"full life: times of the progress": func(f *fixture) {
		m := f.appendOne(alice)
		at := f.now()
		for i, s := range []esh3ar.Status{esh3ar.Pending, esh3ar.Sent, esh3ar.Delivered, esh3ar.Read} {
			c := f.change(m, s)
			c.At = at + esh3ar.Time(i*10)
			f.settle(c)
		}
		p := f.record(m.ID).Progress
		want(f, p, esh3ar.Progress{Stage: esh3ar.Stage{Life: 1, Status: esh3ar.Read}, Version: 5, SentAt: at + 10, DeliveredAt: at + 20, ReadAt: at + 30}, "progress")
	},
	"read: implies delivered": func(f *fixture) {
		m := f.appendOne(alice)
		got := f.settle(f.change(m, esh3ar.Read))[0].Progress
		want(f, got.DeliveredAt, f.now(), "delivered at")
		want(f, got.ReadAt, f.now(), "read at")
		want(f, got.Version, 2, "version")
		want(f, got, f.record(m.ID).Progress, "progress of the result")
	},
	"late acknowledgement of a failed message: applies": func(f *fixture) {
		m := f.appendOne(alice)
		ended := f.now()
		c := f.change(m, esh3ar.Failed)
		c.Reason = "attempts_spent"
		f.settle(c)
		f.clock.Add(5)
		got := f.settle(f.change(m, esh3ar.Delivered))[0]
		want(f, got.Applied, true, "applied")
		want(f, got.Progress.EndedAt, ended, "ended at")
		want(f, got.Progress.Reason, "attempts_spent", "reason")
		want(f, got.Progress.DeliveredAt, f.now(), "delivered at")
		f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records)
	},
	"several changes of one message in one batch: apply in order": func(f *fixture) {
		m, other := f.appendOne(alice), f.appendOne(alice)
		sent, delivered := f.change(m, esh3ar.Sent), f.change(m, esh3ar.Delivered)
		sent.Attempt = 1
		results := f.settle(sent, f.change(other, esh3ar.Pending), delivered, delivered, sent)
		for i, applied := range []bool{true, true, true, false, false} {
			want(f, results[i].Applied, applied, "applied")
			want(f, results[i].Found, true, "found")
		}
		want(f, results[0].Progress.Version, 2, "version after the first")
		want(f, results[2].Progress.Version, 3, "version after the second")
		want(f, results[4].Progress, f.record(m.ID).Progress, "last result")
		wantStatuses(f, m, esh3ar.Queued, esh3ar.Sent, esh3ar.Delivered)
		wantStatuses(f, other, esh3ar.Queued, esh3ar.Pending)
	},
	"attempts: count up by one": attempts,
	"history: has all events": func(f *fixture) {
		m := f.message(alice)
		m.CorrelationID, m.Metadata = "c-1", map[string]string{"a": "b"}
		f.send(m)
		c := f.change(m, esh3ar.Sent)
		c.Attempt = 1
		f.clock.Add(100)
		end := f.change(m, esh3ar.Canceled)
		end.Reason = "by_caller"
		f.settle(c, end)
		events := f.history(m.ID)
		want(f, len(events), 3, "events")
		for i, e := range events {
			want(f, e.ID, esh3ar.EventIDOf(m.ID, e.Version, e.At), "id")
			want(f, e.Version, uint32(i+1), "version")
			want(f, e.Message, m.ID, "message")
			want(f, e.Business, m.Business, "business")
			want(f, e.Recipient, alice, "recipient")
			want(f, e.CorrelationID, "c-1", "correlation id")
			want(f, e.Metadata["a"], "b", "metadata")
			want(f, e.Life, 1, "life")
		}
		want(f, events[0].At, m.CreatedAt(), "first at")
		want(f, events[1].Attempt, 1, "attempt of sent")
		want(f, events[1].At, c.At, "sent at")
		want(f, events[2].Reason, "by_caller", "reason")
	},
	"progresses: in the order of the request": func(f *fixture) {
		a, b := f.appendOne(alice), f.appendOne(bob)
		f.settle(f.change(b, esh3ar.Sent))
		ref := func(m *esh3ar.Message) esh3ar.MessageRef {
			return esh3ar.MessageRef{ID: m.ID, Recipient: m.Recipient, Seq: m.Seq, Life: 1}
		}
		unknown, foreign := ref(f.message(alice)), ref(a)
		foreign.Recipient = bob
		got, err := f.Store.Progresses(f.ctx, []esh3ar.MessageRef{ref(b), unknown, ref(a), foreign})
		f.ok(err, "progresses")
		want(f, len(got), 4, "answers")
		want(f, got[0], f.record(b.ID).Progress, "progress of b")
		want(f, got[1].Life, 0, "life of an unknown message")
		want(f, got[2], f.record(a.ID).Progress, "progress of a")
		want(f, got[3].Life, 0, "life with the wrong recipient")
	},
	"no changes": func(f *fixture) { want(f, len(f.settle()), 0, "results") },
}

// allPairs tries every status after every other one.
func allPairs(f *fixture) {
	for from := esh3ar.Queued; from < esh3ar.Statuses; from++ {
		for to := esh3ar.Queued; to < esh3ar.Statuses; to++ {
			m := f.appendOne(alice)
			if from != esh3ar.Queued {
				want(f, f.settle(f.change(m, from))[0].Applied, true, "first step")
			}
			before := f.record(m.ID).Progress
			stage := before.Stage
			allowed := stage.CanBecome(esh3ar.Stage{Life: 1, Status: to})
			got := f.settle(f.change(m, to))[0]
			what := from.String() + " to " + to.String()
			want(f, got.Applied, allowed, what)
			after := f.record(m.ID).Progress
			want(f, got.Progress, after, what+": result and record")
			if allowed {
				want(f, after.Status, to, what)
				want(f, after.Version, before.Version+1, what+": version")
			} else {
				want(f, after, before, what+": unchanged")
			}
			want(f, len(f.history(m.ID)), int(after.Version), what+": events")
			waits := len(f.pending(esh3ar.InboxQuery{Recipient: alice, After: afterAll(m.Seq - 1)}).Records) == 1
			want(f, waits, !after.Status.Ends(), what+": in the inbox")
		}
	}
}

// afterAll returns a cursor with the same seq in every lane.
func afterAll(seq esh3ar.Seq) [esh3ar.Priorities]esh3ar.Seq {
	return [esh3ar.Priorities]esh3ar.Seq{seq, seq, seq, seq}
}

// conditions tries changes that name wrong owners, lives, statuses or attempts.
func conditions(f *fixture) {
	stranger := esh3ar.NewBusinessID()
	for name, c := range map[string]struct {
		change  func(*esh3ar.Change)
		found   bool
		applied bool
	}{
		"plain":                  {func(*esh3ar.Change) {}, true, true},
		"by business":            {func(c *esh3ar.Change) { c.Recipient, c.Business = 0, f.business }, true, true},
		"by both":                {func(c *esh3ar.Change) { c.Business = f.business }, true, true},
		"unknown":                {func(c *esh3ar.Change) { c.Message = f.newID() }, false, false},
		"foreign recipient":      {func(c *esh3ar.Change) { c.Recipient = bob }, false, false},
		"foreign business":       {func(c *esh3ar.Change) { c.Recipient, c.Business = 0, stranger }, false, false},
		"foreign business, mine": {func(c *esh3ar.Change) { c.Business = stranger }, false, false},
		"nobody's":               {func(c *esh3ar.Change) { c.Recipient = 0 }, false, false},
		"this life":              {func(c *esh3ar.Change) { c.Life = 1 }, true, true},
		"another life":           {func(c *esh3ar.Change) { c.Life = 2 }, true, false},
		"below what it is":       {func(c *esh3ar.Change) { c.Below = esh3ar.Pending }, true, false},
		"below what comes":       {func(c *esh3ar.Change) { c.Below = esh3ar.Sent }, true, true},
		"attempt only": {func(c *esh3ar.Change) {
			c.To = 0
			c.Attempt = 1
		}, true, true},
		"attempt only, below": {func(c *esh3ar.Change) {
			c.To = 0
			c.Attempt = 1
			c.Below = esh3ar.Pending
		}, true, false},
		"attempt only, two ahead": {func(c *esh3ar.Change) {
			c.To = 0
			c.Attempt = 2
		}, true, false},
		"nothing asked": {func(c *esh3ar.Change) { c.To = 0 }, true, false},
	} {
		m := f.appendOne(alice)
		f.settle(f.change(m, esh3ar.Pending))
		before := f.record(m.ID).Progress
		change := f.change(m, esh3ar.Canceled)
		c.change(&change)
		got := f.settle(change)[0]
		want(f, got.Found, c.found, name+": found")
		want(f, got.Applied, c.applied, name+": applied")
		want(f, got.Message, change.Message, name+": message")
		if !c.found {
			want(f, got.Progress, esh3ar.Progress{}, name+": progress")
		}
		if !c.applied {
			want(f, f.record(m.ID).Progress, before, name+": unchanged")
		}
	}
	m := f.appendOne(alice)
	_, err := f.Store.Settle(f.ctx, []esh3ar.Change{f.change(m, esh3ar.Statuses)})
	f.wantCode(err, esh3ar.Invalid, "invalid status")
}

// attempts counts delivery attempts, with and without a change of status.
func attempts(f *fixture) {
	m := f.appendOne(alice)
	try := func(to esh3ar.Status, attempt int) esh3ar.Settled {
		c := f.change(m, to)
		c.Attempt = attempt
		return f.settle(c)[0]
	}
	want(f, try(esh3ar.Sent, 1).Progress.Attempts, 1, "first push")
	version := f.record(m.ID).Version
	want(f, try(0, 2).Applied, true, "second")
	want(f, try(0, 2).Applied, false, "second again, from another device")
	want(f, try(0, 4).Applied, false, "one left out")
	want(f, try(0, 3).Progress.Attempts, 3, "third")
	want(f, f.record(m.ID).Version, version, "an attempt makes no event")
	want(f, f.record(m.ID).Attempts, 3, "stored")
	// Changes of one batch see each other.
	four, five := f.change(m, 0), f.change(m, 0)
	four.Attempt, five.Attempt = 4, 5
	results := f.settle(four, four, five)
	want(f, []bool{results[0].Applied, results[1].Applied, results[2].Applied}[1], false, "fourth twice")
	want(f, results[2].Progress.Attempts, 5, "fifth")
	want(f, try(esh3ar.Delivered, 2).Progress.Attempts, 5, "attempts after a change with a lower attempt")
	want(f, try(0, 6).Applied, false, "after the end")
	events := f.history(m.ID)
	want(f, events[len(events)-1].Attempt, 5, "attempt in the event")
}

// wantStatuses compares the statuses of a message's history.
func wantStatuses(f *fixture, m *esh3ar.Message, statuses ...esh3ar.Status) {
	f.Helper()
	var got []esh3ar.Status
	for _, e := range f.history(m.ID) {
		got = append(got, e.Status)
	}
	if !slices.Equal(got, statuses) {
		f.Errorf("history: got %v, want %v", got, statuses)
	}
}
