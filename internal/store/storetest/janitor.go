package storetest

import (
	"time"

	"github.com/esh3artech/esh3ar"
)

var janitorTests = map[string]func(*fixture){
	"only what is final and old is purged": purgedFinal,
	"a purged message leaves nothing": func(f *fixture) {
		m := f.mortal(alice, time.Hour)
		f.fail(m)
		scheduled := f.scheduled(alice, 2*time.Hour)
		f.settle(f.to(scheduled, esh3ar.Canceled))
		f.clock.Add(1)
		want(f, f.purge(f.now(), 10), 2, "purged")
		for _, gone := range []*esh3ar.Message{m, scheduled} {
			_, err := f.Store.Message(f.ctx, gone.ID)
			f.wantCode(err, esh3ar.NotFound, "message")
			_, err = f.Store.History(f.ctx, gone.ID)
			f.wantCode(err, esh3ar.NotFound, "history")
			want(f, f.settle(f.to(gone, esh3ar.Delivered))[0].Found, false, "a late acknowledgement")
		}
		want(f, len(f.letters(esh3ar.DeadLetterQuery{})), 0, "dead letters")
		want(f, len(f.walk(esh3ar.ListQuery{Limit: 10}, nil)), 0, "listed")
		f.clock.Add((3 * time.Hour).Milliseconds())
		want(f, len(f.claim()), 0, "tasks")
		want(f, f.sent(alice).Seq, 2, "the counter goes on")
		for _, entry := range f.log("", 100) {
			want(f, entry.Event.Recipient, alice, "the events stay")
		}
	},
	"the walk goes on where it was": func(f *fixture) {
		for range 7 {
			f.settle(f.to(f.sent(alice), esh3ar.Delivered))
		}
		f.business = esh3ar.NewBusinessID()
		for range 5 {
			f.settle(f.to(f.sent(bob), esh3ar.Delivered))
		}
		f.clock.Add(1)
		want(f, f.purge(f.now(), 2), 12, "purged")
		want(f, f.purge(f.now(), 2), 0, "purged again")
		_, _, err := f.Store.Purge(f.ctx, esh3ar.RetentionCutoffs{Default: f.now()}, "x", 2)
		f.wantCode(err, esh3ar.Invalid, "a bad cursor")
	},
	"some businesses keep messages for another time": func(f *fixture) {
		first, other := f.business, esh3ar.NewBusinessID()
		for _, business := range []esh3ar.BusinessID{first, other, first, other, other} {
			f.business = business
			f.settle(f.to(f.sent(alice), esh3ar.Delivered))
		}
		middle := f.now() + 1
		for _, business := range []esh3ar.BusinessID{first, other} {
			f.clock.Add(1000)
			f.business = business
			f.settle(f.to(f.sent(alice), esh3ar.Delivered))
		}
		f.clock.Add(1)
		longer := esh3ar.RetentionCutoffs{Default: f.now(), ByBusiness: map[esh3ar.BusinessID]esh3ar.Time{first: 1}}
		want(f, f.purgeServed(longer, 2), 4, "of the other, whose time is everybody's")
		f.business = first
		want(f, len(f.walk(esh3ar.ListQuery{Limit: 10}, nil)), 3, "kept for longer")
		shorter := esh3ar.RetentionCutoffs{Default: 1, ByBusiness: map[esh3ar.BusinessID]esh3ar.Time{first: middle}}
		want(f, f.purgeServed(shorter, 2), 2, "of the first, whose time is shorter")
		want(f, len(f.walk(esh3ar.ListQuery{Limit: 10}, nil)), 1, "its last message")
	},
	"the event log is trimmed from its old end": trimmed,
	"a log that was trimmed whole goes on": func(f *fixture) {
		f.sent(alice)
		tail := f.tail()
		f.clock.Add(1)
		f.trim(f.now())
		want(f, f.tail(), tail, "tail")
		f.Instance = f.Reopen(f.T)
		want(f, f.tail(), tail, "tail after a restart")
		f.sent(alice)
		if f.tail() <= tail {
			f.Errorf("position %s after %s", f.tail(), tail)
		}
		page, err := f.Store.Events(f.ctx, esh3ar.EventQuery{After: tail, Limit: 10})
		f.ok(err, "events")
		want(f, page.Trimmed, false, "trimmed, for who had read all")
		want(f, len(page.Entries), 1, "events")
	},
	"keys are forgotten after their time": func(f *fixture) {
		old := f.key(f.call(f.message(alice)), "k", 1)
		f.append(old)
		f.clock.Add((23 * time.Hour).Milliseconds())
		young := f.key(f.call(f.message(alice)), "l", 1)
		f.append(young)
		f.forget(f.now())
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 1))[0].Outcome, esh3ar.Replayed, "before its time")
		f.clock.Add((25 * time.Hour).Milliseconds())
		f.forget(f.now())
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 2))[0].Outcome, esh3ar.Stored, "after its time")
		want(f, f.append(f.key(f.call(f.message(alice)), "l", 2))[0].Outcome, esh3ar.Stored, "after its time too")
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 2))[0].Outcome, esh3ar.Replayed, "the new one")
		f.Instance = f.Reopen(f.T)
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 2))[0].Outcome, esh3ar.Replayed, "the new one after a restart")
	},
	"a key outlives a clock that is turned back": func(f *fixture) {
		f.append(f.key(f.call(f.message(alice)), "k", 1))
		f.clock.Add(-(10 * 24 * time.Hour).Milliseconds())
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 1))[0].Outcome, esh3ar.Replayed, "outcome")
		f.append(f.key(f.call(f.message(alice)), "other", 1))
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 2))[0].Outcome, esh3ar.Mismatched, "outcome")
		f.Instance = f.Reopen(f.T)
		want(f, f.append(f.key(f.call(f.message(alice)), "other", 1))[0].Outcome, esh3ar.Replayed, "outcome")
	},
}

// purge walks to the end and gives how many it purged.
func (f *fixture) purge(before esh3ar.Time, limit int) (total int) {
	f.Helper()
	return f.purgeServed(esh3ar.RetentionCutoffs{Default: before}, limit)
}

func (f *fixture) purgeServed(served esh3ar.RetentionCutoffs, limit int) (total int) {
	f.Helper()
	for next := ""; ; {
		n, following, err := f.Store.Purge(f.ctx, served, next, limit)
		f.ok(err, "purge")
		if n > limit {
			f.Fatalf("%d purged over the limit", n)
		}
		total += n
		if next = following; next == "" {
			return total
		}
	}
}

func (f *fixture) trim(before esh3ar.Time) {
	f.Helper()
	for more := true; more; {
		var err error
		more, err = f.Store.TrimEvents(f.ctx, before)
		f.ok(err, "trim")
	}
}

func (f *fixture) forget(before esh3ar.Time) {
	f.Helper()
	f.ok(f.Store.DeleteExpiredKeys(f.ctx, before), "forget keys")
}

func purgedFinal(f *fixture) {
	var messages []*esh3ar.Message
	for s := esh3ar.Queued; s < esh3ar.Statuses; s++ {
		m := f.sent(alice)
		if s != esh3ar.Queued {
			f.settle(f.to(m, s))
		}
		messages = append(messages, m)
	}
	waits := f.scheduled(alice, time.Hour)
	f.clock.Add(1)
	young := f.sent(alice)
	f.settle(f.to(young, esh3ar.Delivered))
	want(f, f.purge(f.now(), 100), 5, "purged") // canceled, expired, failed, delivered, read
	for i, m := range messages {
		_, err := f.Store.Message(f.ctx, m.ID)
		if s := esh3ar.Queued + esh3ar.Status(i); s.Ends() {
			f.wantCode(err, esh3ar.NotFound, s.String())
		} else {
			f.ok(err, s.String())
		}
	}
	want(f, f.record(waits.ID).Status, esh3ar.Scheduled, "the scheduled one")
	want(f, f.record(young.ID).Status, esh3ar.Delivered, "the young one")
	f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records, 1, 2, 3)
}

func trimmed(f *fixture) {
	a := f.sent(alice)
	f.settle(f.to(a, esh3ar.Delivered))
	middle := f.tail()
	f.clock.Add(1000)
	cut := f.now()
	f.clock.Add(1000)
	b := f.sent(alice)
	f.trim(cut)
	page, err := f.Store.Events(f.ctx, esh3ar.EventQuery{Limit: 10})
	f.ok(err, "events")
	want(f, page.Trimmed, true, "trimmed")
	want(f, len(page.Entries), 1, "events")
	want(f, page.Entries[0].Event.Message, b.ID, "the oldest there is")
	page, err = f.Store.Events(f.ctx, esh3ar.EventQuery{After: middle, Limit: 10})
	f.ok(err, "events")
	want(f, page.Trimmed, false, "trimmed, for who had read all of that")
	want(f, len(page.Entries), 1, "events")
	want(f, len(f.history(a.ID)), 2, "a message's own history stays")
	f.trim(cut)
	want(f, len(f.log("", 10)), 1, "events after trimming again")
}
