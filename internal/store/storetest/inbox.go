package storetest

import (
	"math"
	"strings"

	"github.com/esh3artech/esh3ar"
)

var inboxTests = map[string]func(*fixture){
	"lanes from the highest down, seqs rising in each": func(f *fixture) {
		laneInbox(f)
		page := f.pending(esh3ar.InboxQuery{Recipient: alice})
		f.wantSeqs(page.Records, 4, 8, 3, 7, 2, 6, 1, 5)
		want(f, page.Ended, true, "ended")
		want(f, page.Counter, 8, "counter")
	},
	"a cursor per lane": func(f *fixture) {
		laneInbox(f)
		page := f.pending(esh3ar.InboxQuery{Recipient: alice, After: [esh3ar.Priorities]esh3ar.Seq{1, 0, 7, 4}})
		f.wantSeqs(page.Records, 8, 2, 6, 5)
		want(f, page.Ended, true, "ended")
		end := esh3ar.Seq(math.MaxUint64)
		page = f.pending(esh3ar.InboxQuery{Recipient: alice, After: [esh3ar.Priorities]esh3ar.Seq{end, end, end, end}})
		f.wantSeqs(page.Records)
	},
	"a skipped lane has not ended": func(f *fixture) {
		laneInbox(f)
		page := f.pending(esh3ar.InboxQuery{Recipient: alice, Skip: [esh3ar.Priorities]bool{esh3ar.High: true}})
		f.wantSeqs(page.Records, 4, 8, 2, 6, 1, 5)
		want(f, page.Ended, false, "ended")
		page = f.pending(esh3ar.InboxQuery{Recipient: bob, Skip: [esh3ar.Priorities]bool{true}})
		want(f, page.Ended, false, "ended, of an unknown recipient")
	},
	"the limit": func(f *fixture) {
		laneInbox(f)
		page := f.pending(esh3ar.InboxQuery{Recipient: alice, Limit: 3})
		f.wantSeqs(page.Records, 4, 8, 3)
		want(f, page.Ended, false, "ended")
		page = f.pending(esh3ar.InboxQuery{Recipient: alice, Limit: 8})
		want(f, page.Ended, true, "ended at exactly the limit")
	},
	"bytes bound a page, and nothing below overtakes": func(f *fixture) {
		small, large := f.message(alice), f.message(alice)
		large.Priority, large.Content = esh3ar.Urgent, strings.Repeat("x", 2000)
		first := f.message(alice)
		first.Priority = esh3ar.Urgent
		f.send(small, first, large)
		page := f.pending(esh3ar.InboxQuery{Recipient: alice, Bytes: first.Size() + small.Size() + 1})
		f.wantSeqs(page.Records, 2) // small would fit, but large is before it
		want(f, page.Ended, false, "ended")
		page = f.pending(esh3ar.InboxQuery{Recipient: alice, After: [esh3ar.Priorities]esh3ar.Seq{esh3ar.Urgent: 2}, Bytes: 1})
		f.wantSeqs(page.Records, 3) // alone larger than the page
		page = f.pending(esh3ar.InboxQuery{Recipient: alice, Bytes: first.Size() + large.Size()})
		f.wantSeqs(page.Records, 2, 3) // exactly full
	},
	"what ended has left, in every lane": func(f *fixture) {
		messages := laneInbox(f)
		for range 3 { // repeated reads may remember where the waiting begins
			f.pending(esh3ar.InboxQuery{Recipient: alice})
		}
		f.settle(f.to(messages[3], esh3ar.Delivered), f.to(messages[0], esh3ar.Canceled), f.to(messages[6], esh3ar.Read), f.to(messages[1], esh3ar.Sent))
		f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records, 8, 3, 2, 6, 5)
		for _, m := range messages {
			f.settle(f.to(m, esh3ar.Delivered))
		}
		page := f.pending(esh3ar.InboxQuery{Recipient: alice})
		f.wantSeqs(page.Records)
		want(f, page.Counter, 8, "counter")
		want(f, page.Ended, true, "ended")
		urgent := f.message(alice)
		urgent.Priority = esh3ar.Urgent
		f.send(urgent, f.message(alice))
		f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records, 9, 10)
	},
	"one inbox does not see another": func(f *fixture) {
		f.sent(bob)
		f.sent(bob + 1)
		f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records)
		f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: bob}).Records, 1)
	},
	"since gives delivered ones too, expired and canceled ones not": func(f *fixture) {
		messages := laneInbox(f)
		f.settle(f.to(messages[0], esh3ar.Delivered), f.to(messages[1], esh3ar.Expired), f.to(messages[2], esh3ar.Canceled), f.to(messages[3], esh3ar.Failed))
		for _, c := range []struct {
			after esh3ar.Seq
			limit int
			seqs  []esh3ar.Seq
		}{
			{0, 100, []esh3ar.Seq{1, 4, 5, 6, 7, 8}},
			{4, 2, []esh3ar.Seq{5, 6}},
			{0, 2, []esh3ar.Seq{1, 4}},
			{8, 10, nil},
			{math.MaxUint64, 10, nil},
		} {
			records, err := f.Store.Since(f.ctx, alice, c.after, 0, c.limit)
			f.ok(err, "since")
			f.wantSeqs(records, c.seqs...)
		}
		for until, seqs := range map[esh3ar.Seq][]esh3ar.Seq{3: {1}, 5: {1, 4, 5}, 8: {1, 4, 5, 6, 7, 8}, math.MaxUint64: {1, 4, 5, 6, 7, 8}} {
			records, err := f.Store.Since(f.ctx, alice, 0, until, 100)
			f.ok(err, "since, up to")
			f.wantSeqs(records, seqs...)
		}
		empty, err := f.Store.Since(f.ctx, alice, 5, 4, 100)
		f.ok(err, "since, of an empty range")
		f.wantSeqs(empty)
		records, err := f.Store.Since(f.ctx, alice, 0, 0, 1)
		f.ok(err, "since")
		want(f, records[0].Status, esh3ar.Delivered, "status")
		want(f, records[0].Content, "hello", "content")
	},
	"counters in the order asked": func(f *fixture) {
		f.sent(alice)
		f.sent(alice)
		f.sent(bob)
		seqs, err := f.Store.Counters(f.ctx, []esh3ar.Recipient{bob, 1, alice, bob})
		f.ok(err, "counters")
		if len(seqs) != 4 || seqs[0] != 1 || seqs[1] != 0 || seqs[2] != 2 || seqs[3] != 1 {
			f.Errorf("got %v", seqs)
		}
	},
	"the walk over what is still queued": queuedWalk,
	"what waits after random histories":  inboxHistories,
}

// laneInbox fills alice's inbox with two messages of each priority: low has seq 1 and 5, urgent 4 and 8.
func laneInbox(f *fixture) []*esh3ar.Message {
	var messages []*esh3ar.Message
	for range 2 {
		for p := range esh3ar.Priority(esh3ar.Priorities) {
			m := f.message(alice)
			m.Priority = p
			messages = append(messages, m)
		}
	}
	f.send(messages...)
	return messages
}

func queuedWalk(f *fixture) {
	wanted := map[esh3ar.MessageRef]bool{}
	for i := range 30 {
		m := f.sent(alice + esh3ar.Recipient(i%3))
		switch i % 5 {
		case 0:
			f.settle(f.to(m, esh3ar.Pending))
		case 1:
			f.settle(f.to(m, esh3ar.Delivered))
		default:
			wanted[esh3ar.MessageRef{ID: m.ID, Recipient: m.Recipient, Seq: m.Seq, Life: 1}] = true
		}
	}
	before := f.now() + 1
	f.clock.Add(10)
	f.sent(alice) // too young
	next := ""
	for range 100 {
		refs, following, err := f.Store.Queued(f.ctx, before, next, 4)
		f.ok(err, "queued")
		if len(refs) > 4 {
			f.Fatalf("%d refs over the limit", len(refs))
		}
		for _, ref := range refs {
			if !wanted[ref] {
				f.Errorf("unexpected or repeated: %+v", ref)
			}
			delete(wanted, ref)
		}
		if next = following; next == "" {
			break
		}
	}
	want(f, next, "", "end of the walk")
	want(f, len(wanted), 0, "left out")
}
