package storetest

import (
	"time"

	"github.com/esh3artech/esh3ar"
)

var janitorTests = map[string]func(*fixture){
	"purge: only ended and old messages": purgedFinal,
	"purged message: only its events stay": func(f *fixture) {
		m := f.appendExpiring(alice, time.Hour)
		f.fail(m)
		scheduled := f.appendScheduled(alice, 2*time.Hour)
		f.settle(f.change(scheduled, esh3ar.Canceled))
		f.clock.Add(1)
		want(f, f.purge(f.now(), 10), 2, "purged")
		for _, gone := range []*esh3ar.Message{m, scheduled} {
			_, err := f.Store.Message(f.ctx, gone.ID)
			f.wantCode(err, esh3ar.NotFound, "message")
			_, err = f.Store.History(f.ctx, gone.ID)
			f.wantCode(err, esh3ar.NotFound, "history")
			want(f, f.settle(f.change(gone, esh3ar.Delivered))[0].Found, false, "late acknowledgement: found")
		}
		want(f, len(f.deadLetters(esh3ar.DeadLetterQuery{})), 0, "dead letters")
		want(f, len(f.listAll(esh3ar.ListQuery{Limit: 10}, nil)), 0, "listed")
		f.clock.Add((3 * time.Hour).Milliseconds())
		want(f, len(f.claim()), 0, "tasks")
		want(f, f.appendOne(alice).Seq, 2, "next seq")
		for _, entry := range f.readLog("", 100) {
			want(f, entry.Event.Recipient, alice, "recipient of an event")
		}
	},
	"purge: continues at its cursor": func(f *fixture) {
		for range 7 {
			f.settle(f.change(f.appendOne(alice), esh3ar.Delivered))
		}
		f.business = esh3ar.NewBusinessID()
		for range 5 {
			f.settle(f.change(f.appendOne(bob), esh3ar.Delivered))
		}
		f.clock.Add(1)
		want(f, f.purge(f.now(), 2), 12, "purged")
		want(f, f.purge(f.now(), 2), 0, "purged again")
		_, _, err := f.Store.Purge(f.ctx, esh3ar.RetentionCutoffs{Default: f.now()}, "x", 2)
		f.wantCode(err, esh3ar.Invalid, "invalid cursor")
	},
	"purge: retention per business": func(f *fixture) {
		first, other := f.business, esh3ar.NewBusinessID()
		for _, business := range []esh3ar.BusinessID{first, other, first, other, other} {
			f.business = business
			f.settle(f.change(f.appendOne(alice), esh3ar.Delivered))
		}
		middle := f.now() + 1
		for _, business := range []esh3ar.BusinessID{first, other} {
			f.clock.Add(1000)
			f.business = business
			f.settle(f.change(f.appendOne(alice), esh3ar.Delivered))
		}
		f.clock.Add(1)
		longer := esh3ar.RetentionCutoffs{Default: f.now(), ByBusiness: map[esh3ar.BusinessID]esh3ar.Time{first: 1}}
		want(f, f.purgeServed(longer, 2), 4, "purged by the general retention")
		f.business = first
		want(f, len(f.listAll(esh3ar.ListQuery{Limit: 10}, nil)), 3, "messages with longer retention")
		shorter := esh3ar.RetentionCutoffs{Default: 1, ByBusiness: map[esh3ar.BusinessID]esh3ar.Time{first: middle}}
		want(f, f.purgeServed(shorter, 2), 2, "purged by a shorter retention")
		want(f, len(f.listAll(esh3ar.ListQuery{Limit: 10}, nil)), 1, "messages left")
	},
	"trim: removes the oldest events": trimmed,
	"trim of the whole log: positions continue": func(f *fixture) {
		f.appendOne(alice)
		tail := f.tail()
		f.clock.Add(1)
		f.trim(f.now())
		want(f, f.tail(), tail, "tail")
		f.Instance = f.Reopen(f.T)
		want(f, f.tail(), tail, "tail after a restart")
		f.appendOne(alice)
		if f.tail() <= tail {
			f.Errorf("position %s follows %s", f.tail(), tail)
		}
		page, err := f.Store.Events(f.ctx, esh3ar.EventQuery{After: tail, Limit: 10})
		f.ok(err, "events")
		want(f, page.Trimmed, false, "trimmed, for a reader at the tail")
		want(f, len(page.Entries), 1, "events")
	},
	"expired keys: are deleted": func(f *fixture) {
		old := f.key(f.call(f.message(alice)), "k", 1)
		f.append(old)
		f.clock.Add((23 * time.Hour).Milliseconds())
		young := f.key(f.call(f.message(alice)), "l", 1)
		f.append(young)
		f.forget(f.now())
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 1))[0].Outcome, esh3ar.Replayed, "outcome before its expiry")
		f.clock.Add((25 * time.Hour).Milliseconds())
		f.forget(f.now())
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 2))[0].Outcome, esh3ar.Stored, "outcome after its expiry")
		want(f, f.append(f.key(f.call(f.message(alice)), "l", 2))[0].Outcome, esh3ar.Stored, "outcome after its expiry, second key")
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 2))[0].Outcome, esh3ar.Replayed, "outcome of the new key")
		f.Instance = f.Reopen(f.T)
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 2))[0].Outcome, esh3ar.Replayed, "outcome of the new key after a restart")
	},
	"clock set back: keys stay": func(f *fixture) {
		f.append(f.key(f.call(f.message(alice)), "k", 1))
		f.clock.Add(-(10 * 24 * time.Hour).Milliseconds())
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 1))[0].Outcome, esh3ar.Replayed, "outcome")
		f.append(f.key(f.call(f.message(alice)), "other", 1))
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 2))[0].Outcome, esh3ar.Mismatched, "outcome")
		f.Instance = f.Reopen(f.T)
		want(f, f.append(f.key(f.call(f.message(alice)), "other", 1))[0].Outcome, esh3ar.Replayed, "outcome")
	},
}

// purge purges all pages and returns the number of purged messages.
func (f *fixture) purge(before esh3ar.Time, limit int) (total int) {
	f.Helper()
	return f.purgeServed(esh3ar.RetentionCutoffs{Default: before}, limit)
}

// purgeServed is purge with retentions per business.
func (f *fixture) purgeServed(served esh3ar.RetentionCutoffs, limit int) (total int) {
	f.Helper()
	for next := ""; ; {
		n, following, err := f.Store.Purge(f.ctx, served, next, limit)
		f.ok(err, "purge")
		if n > limit {
			f.Fatalf("got %d purged messages of one call, want at most the limit", n)
		}
		total += n
		next = following
		if next == "" {
			return total
		}
	}
}

// trim trims the event log until nothing is left to trim.
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

// purgedFinal has a message in every status; only ended and old ones may be purged.
func purgedFinal(f *fixture) {
	var messages []*esh3ar.Message
	for s := esh3ar.Queued; s < esh3ar.Statuses; s++ {
		m := f.appendOne(alice)
		if s != esh3ar.Queued {
			f.settle(f.change(m, s))
		}
		messages = append(messages, m)
	}
	waits := f.appendScheduled(alice, time.Hour)
	f.clock.Add(1)
	young := f.appendOne(alice)
	f.settle(f.change(young, esh3ar.Delivered))
	want(f, f.purge(f.now(), 100), 5, "purged") // canceled, expired, failed, delivered, read
	for i, m := range messages {
		_, err := f.Store.Message(f.ctx, m.ID)
		if s := esh3ar.Queued + esh3ar.Status(i); s.Ends() {
			f.wantCode(err, esh3ar.NotFound, s.String())
		} else {
			f.ok(err, s.String())
		}
	}
	want(f, f.record(waits.ID).Status, esh3ar.Scheduled, "status of the scheduled message")
	want(f, f.record(young.ID).Status, esh3ar.Delivered, "status of the newer message")
	f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records, 1, 2, 3)
}

// trimmed trims a part of the log and reads from before and after the trimmed part.
func trimmed(f *fixture) {
	a := f.appendOne(alice)
	f.settle(f.change(a, esh3ar.Delivered))
	middle := f.tail()
	f.clock.Add(1000)
	cut := f.now()
	f.clock.Add(1000)
	b := f.appendOne(alice)
	f.trim(cut)
	page, err := f.Store.Events(f.ctx, esh3ar.EventQuery{Limit: 10})
	f.ok(err, "events")
	want(f, page.Trimmed, true, "trimmed")
	want(f, len(page.Entries), 1, "events")
	want(f, page.Entries[0].Event.Message, b.ID, "message of the oldest event")
	page, err = f.Store.Events(f.ctx, esh3ar.EventQuery{After: middle, Limit: 10})
	f.ok(err, "events")
	want(f, page.Trimmed, false, "trimmed, for a reader past the trimmed part")
	want(f, len(page.Entries), 1, "events")
	want(f, len(f.history(a.ID)), 2, "events in the history")
	f.trim(cut)
	want(f, len(f.readLog("", 10)), 1, "events after trimming again")
}
