package storetest

import (
	"time"

	"github.com/esh3artech/esh3ar"
)

var waitingTests = map[string]func(*fixture){
	"undelivered count: of one business in one lane": func(f *fixture) {
		messages := laneInbox(f)
		f.appendOne(bob)
		other := f.message(alice)
		other.Business = esh3ar.NewBusinessID()
		f.append(&esh3ar.Call{Business: other.Business, Messages: []*esh3ar.Message{other}})
		f.appendScheduled(alice, time.Hour)
		want(f, f.waiting(alice, esh3ar.Normal, 100, 100), 2, "normal")
		want(f, f.waiting(alice, esh3ar.Urgent, 100, 100), 2, "urgent")
		want(f, f.waiting(bob, esh3ar.Urgent, 100, 100), 0, "another recipient's urgent lane")
		want(f, f.waiting(alice, esh3ar.Normal, 1, 100), 1, "bounded by the limit")
		want(f, f.waiting(alice, esh3ar.Normal, 100, 1), 0, "newest message is of another business")
		want(f, f.waiting(alice, esh3ar.Normal, 100, 2), 1, "among the two newest messages")
		for _, m := range messages {
			f.pending(esh3ar.InboxQuery{Recipient: alice})
			f.settle(f.change(m, esh3ar.Delivered))
		}
		want(f, f.waiting(alice, esh3ar.Normal, 100, 100), 0, "after delivery")
		f.Instance = f.Reopen(f.T)
		f.appendOne(alice)
		want(f, f.waiting(alice, esh3ar.Normal, 100, 100), 1, "after a restart")
	},
	"backlog: of the whole store": func(f *fixture) {
		backlog := func() esh3ar.Backlog {
			f.Helper()
			b, err := f.Store.Backlog(f.ctx, 100)
			f.ok(err, "backlog")
			return b
		}
		want(f, backlog(), esh3ar.Backlog{}, "backlog of an empty store")
		m := f.appendOne(alice)
		f.appendOne(bob)
		other := f.message(alice)
		other.Business = esh3ar.NewBusinessID()
		f.append(&esh3ar.Call{Business: other.Business, Messages: []*esh3ar.Message{other}})
		f.appendScheduled(alice, time.Hour)
		later := f.appendScheduled(bob, time.Minute)
		f.appendExpiring(bob, time.Hour)
		f.appendFailed(alice)
		want(f, backlog(), esh3ar.Backlog{Undelivered: 4, Scheduled: 2, DeadLetters: 1}, "backlog")
		f.pending(esh3ar.InboxQuery{Recipient: alice})
		f.settle(f.change(m, esh3ar.Delivered))
		f.settle(f.change(later, esh3ar.Canceled))
		got := backlog()
		want(f, got.Undelivered, 3, "undelivered after a delivery")
		f.Instance = f.Reopen(f.T)
		want(f, backlog(), got, "backlog after a restart")
		few, err := f.Store.Backlog(f.ctx, 2)
		f.ok(err, "backlog")
		want(f, few, esh3ar.Backlog{Undelivered: 2, Scheduled: min(2, got.Scheduled), DeadLetters: 1}, "backlog bounded by the limit")
	},
	"idempotency key lookup: returns the stored answer": func(f *fixture) {
		call := f.key(f.call(f.message(alice), f.message(bob)), "k", 1)
		_, known, err := f.Store.KnownKey(f.ctx, f.business, call.Key)
		f.ok(err, "look up")
		want(f, known, false, "known before its call")
		stored := f.append(call)[0]
		got, known, err := f.Store.KnownKey(f.ctx, f.business, call.Key)
		f.ok(err, "look up")
		want(f, known, true, "known")
		wantSameAnswer(f, got, stored)
		got, known, err = f.Store.KnownKey(f.ctx, f.business, f.key(f.call(), "k", 2).Key)
		f.ok(err, "look up")
		want(f, known, true, "known, with another fingerprint")
		want(f, got.Outcome, esh3ar.Mismatched, "outcome")
		_, known, err = f.Store.KnownKey(f.ctx, esh3ar.NewBusinessID(), call.Key)
		f.ok(err, "look up")
		want(f, known, false, "known for another business")
		f.clock.Add((25 * time.Hour).Milliseconds())
		_, known, err = f.Store.KnownKey(f.ctx, f.business, call.Key)
		f.ok(err, "look up")
		want(f, known, false, "known after its expiry")
	},
}

func (f *fixture) waiting(r esh3ar.Recipient, lane esh3ar.Priority, limit, walk int) int {
	f.Helper()
	n, err := f.Store.CountWaiting(f.ctx, esh3ar.WaitingQuery{Recipient: r, Business: f.business, Lane: lane, Limit: limit, Walk: walk})
	f.ok(err, "count undelivered messages")
	return n
}
