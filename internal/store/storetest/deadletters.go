package storetest

import (
	"time"

	"github.com/esh3artech/esh3ar"
)

var deadLetterTests = map[string]func(*fixture){
	"failed message: is a dead letter": func(f *fixture) {
		m := f.appendFailed(alice)
		failed := f.now()
		f.appendOne(alice)
		page := f.deadLetters(esh3ar.DeadLetterQuery{})
		want(f, len(page), 1, "dead letters")
		want(f, page[0].ID, m.ID, "id")
		want(f, page[0].Content, m.Content, "content")
		want(f, page[0].Reason, esh3ar.ReasonAttemptsSpent, "reason")
		want(f, page[0].EndedAt, failed, "ended at")
		one, err := f.Store.DeadLetter(f.ctx, f.business, m.ID)
		f.ok(err, "dead letter")
		want(f, one.Progress, page[0].Progress, "progress")
		f.wantNoDeadLetter(f.appendOne(bob).ID)
		f.wantNoDeadLetter(f.newID())
		_, err = f.Store.DeadLetter(f.ctx, esh3ar.NewBusinessID(), m.ID)
		f.wantCode(err, esh3ar.NotFound, "dead letter of another business")
	},
	"listing: latest failure first, in pages": func(f *fixture) {
		first, second := f.appendOne(alice), f.appendOne(bob)
		for _, m := range []*esh3ar.Message{second, first} {
			f.clock.Add(10)
			f.fail(m)
		}
		third := f.appendFailed(alice)
		f.wantDeadLetters(f.deadLetters(esh3ar.DeadLetterQuery{}), third, first, second)
		var paged []esh3ar.Record
		for cursor := ""; ; {
			page, err := f.Store.DeadLetters(f.ctx, esh3ar.DeadLetterQuery{Business: f.business, Limit: 1, Cursor: cursor})
			f.ok(err, "dead letters")
			paged = append(paged, page.Records...)
			cursor = page.NextCursor
			if cursor == "" {
				break
			}
		}
		f.wantDeadLetters(paged, third, first, second)
		_, err := f.Store.DeadLetters(f.ctx, esh3ar.DeadLetterQuery{Business: f.business, Limit: 1, Cursor: "x"})
		f.wantCode(err, esh3ar.Invalid, "invalid cursor")
	},
	"listing: filters": func(f *fixture) {
		a := f.message(alice)
		a.CorrelationID = "c-1"
		f.send(a)
		f.fail(a)
		between := f.clock.Add(10)
		f.clock.Add(10)
		b := f.appendOne(bob)
		c := f.change(b, esh3ar.Failed)
		c.Reason = "other"
		f.settle(c)
		for name, q := range map[string]struct {
			query esh3ar.DeadLetterQuery
			found *esh3ar.Message
		}{
			"recipient":   {esh3ar.DeadLetterQuery{Recipient: bob}, b},
			"correlation": {esh3ar.DeadLetterQuery{CorrelationID: "c-1"}, a},
			"reason":      {esh3ar.DeadLetterQuery{Reason: "other"}, b},
			"from":        {esh3ar.DeadLetterQuery{From: esh3ar.Time(between)}, b},
			"until":       {esh3ar.DeadLetterQuery{Until: esh3ar.Time(between)}, a},
		} {
			got := f.deadLetters(q.query)
			if len(got) != 1 || got[0].ID != q.found.ID {
				f.Errorf("filter %s: got %d dead letters, want the matching one", name, len(got))
			}
		}
		want(f, len(f.deadLetters(esh3ar.DeadLetterQuery{From: 2, Until: 1})), 0, "empty period")
		want(f, len(f.deadLetters(esh3ar.DeadLetterQuery{Until: -1})), 0, "before 1970")
		mine := f.business
		f.business = esh3ar.NewBusinessID()
		want(f, len(f.deadLetters(esh3ar.DeadLetterQuery{})), 0, "another business")
		f.business = mine
	},
	"late acknowledgement: dead letter is removed": func(f *fixture) {
		m := f.appendFailed(alice)
		f.settle(f.change(m, esh3ar.Delivered))
		want(f, len(f.deadLetters(esh3ar.DeadLetterQuery{})), 0, "dead letters")
		f.wantNoDeadLetter(m.ID)
		want(f, f.settle(f.replay(m))[0].Applied, false, "replay after an acknowledgement: applied")
	},
	"failed and acknowledged in one batch: no dead letter": func(f *fixture) {
		m := f.appendOne(alice)
		f.settle(f.change(m, esh3ar.Failed), f.change(m, esh3ar.Delivered))
		want(f, len(f.deadLetters(esh3ar.DeadLetterQuery{})), 0, "dead letters")
	},
	"discard: dead letter is removed, message stays": func(f *fixture) {
		m, other := f.appendFailed(alice), f.appendFailed(alice)
		f.wantCode(f.Store.Discard(f.ctx, esh3ar.NewBusinessID(), m.ID), esh3ar.NotFound, "discard by another business")
		f.ok(f.Store.Discard(f.ctx, f.business, m.ID), "discard")
		f.wantCode(f.Store.Discard(f.ctx, f.business, m.ID), esh3ar.NotFound, "second discard")
		f.wantDeadLetters(f.deadLetters(esh3ar.DeadLetterQuery{}), other)
		f.wantNoDeadLetter(m.ID)
		want(f, f.settle(f.replay(m))[0].Applied, false, "replay of a discarded one: applied")
		want(f, f.record(m.ID).Status, esh3ar.Failed, "status after discard")
		want(f, f.settle(f.change(m, esh3ar.Delivered))[0].Applied, true, "late acknowledgement: applied")
	},
	"replay: starts a new life":                   replayed,
	"replay: several lives":                       replayedTwice,
	"failed and replayed in one batch: is queued": replayedAtOnce,
	"replay of other statuses: is not applied": func(f *fixture) {
		for _, s := range []esh3ar.Status{esh3ar.Pending, esh3ar.Sent, esh3ar.Canceled, esh3ar.Expired, esh3ar.Delivered, esh3ar.Read} {
			m := f.appendOne(alice)
			f.settle(f.change(m, s))
			before := f.record(m.ID)
			want(f, f.settle(f.replay(m))[0].Applied, false, s.String())
			want(f, f.record(m.ID).Progress, before.Progress, s.String()+": unchanged")
		}
		_, err := f.Store.Settle(f.ctx, []esh3ar.Change{{Message: f.newID(), Recipient: alice, To: esh3ar.Sent, Replay: true}})
		f.wantCode(err, esh3ar.Invalid, "replay to another status than queued")
	},
	"replayed twice: the second is not applied": func(f *fixture) {
		m := f.appendFailed(alice)
		results := f.settle(f.replay(m), f.replay(m))
		want(f, results[0].Applied, true, "first replay applied")
		want(f, results[1].Applied, false, "second replay applied")
		want(f, f.record(m.ID).Life, 2, "life")
		want(f, f.counter(alice), 2, "counter")
	},
}

// fail settles a message as failed, so that it becomes a dead letter.
func (f *fixture) fail(m *esh3ar.Message) {
	f.Helper()
	c := f.change(m, esh3ar.Failed)
	c.Reason = esh3ar.ReasonAttemptsSpent
	c.Attempt = 5
	want(f, f.settle(c)[0].Applied, true, "failed")
}

// appendFailed appends a message and fails it.
func (f *fixture) appendFailed(r esh3ar.Recipient) *esh3ar.Message {
	f.Helper()
	m := f.appendOne(r)
	f.fail(m)
	return m
}

// replay returns the change that replays a dead letter.
func (f *fixture) replay(m *esh3ar.Message) esh3ar.Change {
	c := f.change(m, esh3ar.Queued)
	c.Replay = true
	return c
}

// deadLetters lists up to 100 dead letters of the fixture's business.
func (f *fixture) deadLetters(q esh3ar.DeadLetterQuery) []esh3ar.Record {
	f.Helper()
	q.Business, q.Limit = f.business, 100
	page, err := f.Store.DeadLetters(f.ctx, q)
	f.ok(err, "dead letters")
	return page.Records
}

func (f *fixture) wantNoDeadLetter(id esh3ar.MessageID) {
	f.Helper()
	_, err := f.Store.DeadLetter(f.ctx, f.business, id)
	f.wantCode(err, esh3ar.NotFound, "dead letter")
}

func (f *fixture) wantDeadLetters(got []esh3ar.Record, wanted ...*esh3ar.Message) {
	f.Helper()
	if len(got) != len(wanted) {
		f.Fatalf("got %d dead letters, want %d", len(got), len(wanted))
	}
	for i := range got {
		want(f, got[i].ID, wanted[i].ID, "dead letter")
	}
}

// replayed follows a message through failure, replay and delivery.
func replayed(f *fixture) {
	m := f.message(alice)
	m.TTL = time.Minute
	m.ExpiresAt = m.CreatedAt().Add(m.TTL)
	m.CorrelationID = "c"
	f.send(m)
	f.settle(f.attempt(m, esh3ar.Sent, 1))
	f.fail(m)
	behind := f.appendOne(alice)
	f.clock.Add(1000)
	got := f.settle(f.replay(m))[0]
	want(f, got.Applied, true, "applied")
	want(f, got.Seq, behind.Seq+1, "seq")
	want(f, got.Recipient, alice, "recipient")
	want(f, got.Progress, esh3ar.Progress{Stage: esh3ar.Stage{Life: 2, Status: esh3ar.Queued}, Version: 4}, "progress")
	after := f.record(m.ID)
	want(f, after.Progress, got.Progress, "progress of the record")
	want(f, after.Seq, got.Seq, "seq of the record")
	want(f, after.ExpiresAt, f.now().Add(time.Minute), "expiry of the second life")
	want(f, after.Content, m.Content, "content")
	want(f, len(f.deadLetters(esh3ar.DeadLetterQuery{})), 0, "dead letters")
	f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records, behind.Seq, got.Seq)
	since, err := f.Store.Since(f.ctx, alice, 0, 0, 100)
	f.ok(err, "since")
	f.wantSeqs(since, behind.Seq, got.Seq)
	wantStatuses(f, m, esh3ar.Queued, esh3ar.Sent, esh3ar.Failed, esh3ar.Queued)
	// Changes of the first life no longer apply.
	late := f.change(m, esh3ar.Delivered)
	late.Life = 1
	want(f, f.settle(late)[0].Applied, false, "change of the first life: applied")
	want(f, f.settle(f.attempt(m, esh3ar.Sent, 1))[0].Progress.Attempts, 1, "attempts")
	want(f, f.settle(f.change(m, esh3ar.Delivered))[0].Applied, true, "delivered")
	f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records, behind.Seq)
	for _, entry := range f.readLog("", 100) {
		if entry.Event.Message == m.ID {
			want(f, entry.Event.CorrelationID, "c", "correlation id of every event")
		}
	}
	wantComplete(f, f.readLog("", 100))
	want(f, len(f.listAll(esh3ar.ListQuery{Limit: 10}, nil)), 2, "listed messages")
}

// attempt returns a change that carries an attempt number.
func (f *fixture) attempt(m *esh3ar.Message, to esh3ar.Status, attempt int) esh3ar.Change {
	c := f.change(m, to)
	c.Attempt = attempt
	return c
}

func replayedTwice(f *fixture) {
	m := f.appendFailed(alice)
	for life := esh3ar.Life(2); life < 5; life++ {
		got := f.settle(f.replay(m))[0]
		want(f, got.Progress.Life, life, "life")
		want(f, got.Seq, esh3ar.Seq(life), "seq")
		f.clock.Add(1)
		f.fail(m)
		want(f, len(f.deadLetters(esh3ar.DeadLetterQuery{})), 1, "dead letters")
		f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records)
	}
	wantComplete(f, f.readLog("", 100))
}

func replayedAtOnce(f *fixture) {
	m := f.appendOne(alice)
	results := f.settle(f.change(m, esh3ar.Failed), f.replay(m), f.change(m, esh3ar.Sent))
	for i := range results {
		want(f, results[i].Applied, true, "applied")
	}
	want(f, f.record(m.ID).Stage, esh3ar.Stage{Life: 2, Status: esh3ar.Sent}, "stage")
	want(f, len(f.deadLetters(esh3ar.DeadLetterQuery{})), 0, "dead letters")
	f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records, 2)
	f.settle(f.change(m, esh3ar.Failed), f.replay(m), f.change(m, esh3ar.Delivered))
	f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records)
	want(f, f.record(m.ID).Stage, esh3ar.Stage{Life: 3, Status: esh3ar.Delivered}, "stage")
}
