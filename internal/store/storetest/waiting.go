package storetest

import (
	"time"

	"github.com/esh3artech/esh3ar"
)

var waitingTests = map[string]func(*fixture){
	"what one business has waiting in one lane": func(f *fixture) {
		messages := laneInbox(f)
		f.sent(bob)
		other := f.message(alice)
		other.Business = esh3ar.NewBusinessID()
		f.append(&esh3ar.Call{Business: other.Business, Messages: []*esh3ar.Message{other}})
		f.scheduled(alice, time.Hour)
		want(f, f.waiting(alice, esh3ar.Normal, 100, 100), 2, "normal")
		want(f, f.waiting(alice, esh3ar.Urgent, 100, 100), 2, "urgent")
		want(f, f.waiting(bob, esh3ar.Urgent, 100, 100), 0, "another recipient's urgent lane")
		want(f, f.waiting(alice, esh3ar.Normal, 1, 100), 1, "as far as the limit")
		want(f, f.waiting(alice, esh3ar.Normal, 100, 1), 0, "the newest is another's")
		want(f, f.waiting(alice, esh3ar.Normal, 100, 2), 1, "among the newest two")
		for _, m := range messages {
			f.pending(esh3ar.InboxQuery{Recipient: alice})
			f.settle(f.to(m, esh3ar.Delivered))
		}
		want(f, f.waiting(alice, esh3ar.Normal, 100, 100), 0, "after the end")
		f.Instance = f.Reopen(f.T)
		f.sent(alice)
		want(f, f.waiting(alice, esh3ar.Normal, 100, 100), 1, "after a restart")
	},
	"the backlog of the whole store": func(f *fixture) {
		backlog := func() esh3ar.Backlog {
			f.Helper()
			b, err := f.Store.Backlog(f.ctx, 100)
			f.ok(err, "backlog")
			return b
		}
		want(f, backlog(), esh3ar.Backlog{}, "an empty store")
		m := f.sent(alice)
		f.sent(bob)
		other := f.message(alice)
		other.Business = esh3ar.NewBusinessID()
		f.append(&esh3ar.Call{Business: other.Business, Messages: []*esh3ar.Message{other}})
		f.scheduled(alice, time.Hour)
		later := f.scheduled(bob, time.Minute)
		f.mortal(bob, time.Hour)
		f.failed(alice)
		want(f, backlog(), esh3ar.Backlog{Undelivered: 4, Scheduled: 2, DeadLetters: 1}, "backlog")
		f.pending(esh3ar.InboxQuery{Recipient: alice})
		f.settle(f.to(m, esh3ar.Delivered))
		f.settle(f.to(later, esh3ar.Canceled))
		got := backlog()
		want(f, got.Undelivered, 3, "undelivered after a delivery")
		f.Instance = f.Reopen(f.T)
		want(f, backlog(), got, "after a restart")
		few, err := f.Store.Backlog(f.ctx, 2)
		f.ok(err, "backlog")
		want(f, few, esh3ar.Backlog{Undelivered: 2, Scheduled: min(2, got.Scheduled), DeadLetters: 1}, "as far as the limit")
	},
	"a key that is looked up": func(f *fixture) {
		call := f.key(f.call(f.message(alice), f.message(bob)), "k", 1)
		_, known, err := f.Store.KnownKey(f.ctx, f.business, call.Key)
		f.ok(err, "look up")
		want(f, known, false, "before its call")
		stored := f.append(call)[0]
		got, known, err := f.Store.KnownKey(f.ctx, f.business, call.Key)
		f.ok(err, "look up")
		want(f, known, true, "known")
		wantTwin(f, got, stored)
		got, known, err = f.Store.KnownKey(f.ctx, f.business, f.key(f.call(), "k", 2).Key)
		f.ok(err, "look up")
		want(f, known, true, "known, of another call")
		want(f, got.Outcome, esh3ar.Mismatched, "outcome")
		_, known, err = f.Store.KnownKey(f.ctx, esh3ar.NewBusinessID(), call.Key)
		f.ok(err, "look up")
		want(f, known, false, "another business's")
		f.clock.Add((25 * time.Hour).Milliseconds())
		_, known, err = f.Store.KnownKey(f.ctx, f.business, call.Key)
		f.ok(err, "look up")
		want(f, known, false, "after its end")
	},
}

func (f *fixture) waiting(r esh3ar.Recipient, lane esh3ar.Priority, limit, walk int) int {
	f.Helper()
	n, err := f.Store.CountWaiting(f.ctx, esh3ar.WaitingQuery{Recipient: r, Business: f.business, Lane: lane, Limit: limit, Walk: walk})
	f.ok(err, "count what waits")
	return n
}
