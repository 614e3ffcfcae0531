package storetest

import (
	"math"
	"strings"

	"github.com/esh3artech/esh3ar"
)

var inboxTests = map[string]func(*fixture){
	"order: lanes from the highest, seqs ascending": func(f *fixture) {
		laneInbox(f)
		page := f.pending(esh3ar.InboxQuery{Recipient: alice})
		f.wantSeqs(page.Records, 4, 8, 3, 7, 2, 6, 1, 5)
		want(f, page.Ended, true, "ended")
		want(f, page.Counter, 8, "counter")
	},
	"cursor: one per lane": func(f *fixture) {
		laneInbox(f)
		page := f.pending(esh3ar.InboxQuery{Recipient: alice, After: [esh3ar.Priorities]esh3ar.Seq{1, 0, 7, 4}})
		f.wantSeqs(page.Records, 8, 2, 6, 5)
		want(f, page.Ended, true, "ended")
		end := esh3ar.Seq(math.MaxUint64)
		page = f.pending(esh3ar.InboxQuery{Recipient: alice, After: [esh3ar.Priorities]esh3ar.Seq{end, end, end, end}})
		f.wantSeqs(page.Records)
	},
	"skipped lane: page has not ended": func(f *fixture) {
		laneInbox(f)
		page := f.pending(esh3ar.InboxQuery{Recipient: alice, Skip: [esh3ar.Priorities]bool{esh3ar.High: true}})
		f.wantSeqs(page.Records, 4, 8, 2, 6, 1, 5)
		want(f, page.Ended, false, "ended")
		page = f.pending(esh3ar.InboxQuery{Recipient: bob, Skip: [esh3ar.Priorities]bool{true}})
		want(f, page.Ended, false, "ended, unknown recipient")
	},
	"limit: bounds a page": func(f *fixture) {
		laneInbox(f)
		page := f.pending(esh3ar.InboxQuery{Recipient: alice, Limit: 3})
		f.wantSeqs(page.Records, 4, 8, 3)
		want(f, page.Ended, false, "ended")
		page = f.pending(esh3ar.InboxQuery{Recipient: alice, Limit: 8})
		want(f, page.Ended, true, "ended at exactly the limit")
	},
	"bytes: bound a page, and lower lanes do not overtake": func(f *fixture) {
		small, large := f.message(alice), f.message(alice)
		large.Priority, large.Content = esh3ar.Urgent, strings.Repeat("x", 2000)
		first := f.message(alice)
		first.Priority = esh3ar.Urgent
		f.send(small, first, large)
		page := f.pending(esh3ar.InboxQuery{Recipient: alice, Bytes: first.Size() + small.Size() + 1})
		f.wantSeqs(page.Records, 2) // small would fit, but large is before it
		want(f, page.Ended, false, "ended")
		page = f.pending(esh3ar.InboxQuery{Recipient: alice, After: [esh3ar.Priorities]esh3ar.Seq{esh3ar.Urgent: 2}, Bytes: 1})
		f.wantSeqs(page.Records, 3) // larger than the page, but the only message
		page = f.pending(esh3ar.InboxQuery{Recipient: alice, Bytes: first.Size() + large.Size()})
		f.wantSeqs(page.Records, 2, 3) // exactly full
	},
	"ended messages: leave every lane": func(f *fixture) {
		messages := laneInbox(f)
		for range 3 { // a store may cache low-water marks between reads
			f.pending(esh3ar.InboxQuery{Recipient: alice})
		}
		f.settle(f.change(messages[3], esh3ar.Delivered), f.change(messages[0], esh3ar.Canceled), f.change(messages[6], esh3ar.Read), f.change(messages[1], esh3ar.Sent))
		f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records, 8, 3, 2, 6, 5)
		for _, m := range messages {
			f.settle(f.change(m, esh3ar.Delivered))
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
	"other recipients: are not visible": func(f *fixture) {
		f.appendOne(bob)
		f.appendOne(bob + 1)
		f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records)
		f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: bob}).Records, 1)
	},
	"since: includes delivered, excludes expired and canceled": func(f *fixture) {
		messages := laneInbox(f)
		f.settle(f.change(messages[0], esh3ar.Delivered), f.change(messages[1], esh3ar.Expired), f.change(messages[2], esh3ar.Canceled), f.change(messages[3], esh3ar.Failed))
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
			f.ok(err, "since with an upper bound")
			f.wantSeqs(records, seqs...)
		}
		empty, err := f.Store.Since(f.ctx, alice, 5, 4, 100)
		f.ok(err, "since with an empty range")
		f.wantSeqs(empty)
		records, err := f.Store.Since(f.ctx, alice, 0, 0, 1)
		f.ok(err, "since")
		want(f, records[0].Status, esh3ar.Delivered, "status")
		want(f, records[0].Content, "hello", "content")
	},
	"counters: in the order of the request": func(f *fixture) {
		f.appendOne(alice)
		f.appendOne(alice)
		f.appendOne(bob)
		seqs, err := f.Store.Counters(f.ctx, []esh3ar.Recipient{bob, 1, alice, bob})
		f.ok(err, "counters")
		if len(seqs) != 4 || seqs[0] != 1 || seqs[1] != 0 || seqs[2] != 2 || seqs[3] != 1 {
			f.Errorf("got counters %v, want [1 0 2 1]", seqs)
		}
	},
	"walk over queued messages: returns each once": queuedWalk,
	"random histories: match a model":              inboxHistories,
}

// laneInbox appends two messages of each priority to alice's inbox. The low ones have seqs 1 and 5, the urgent ones 4 and 8.
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

// queuedWalk walks all queued messages in pages.
func queuedWalk(f *fixture) {
	wanted := map[esh3ar.MessageRef]bool{}
	for i := range 30 {
		m := f.appendOne(alice + esh3ar.Recipient(i%3))
		switch i % 5 {
		case 0:
			f.settle(f.change(m, esh3ar.Pending))
		case 1:
			f.settle(f.change(m, esh3ar.Delivered))
		default:
			wanted[esh3ar.MessageRef{ID: m.ID, Recipient: m.Recipient, Seq: m.Seq, Life: 1}] = true
		}
	}
	before := f.now() + 1
	f.clock.Add(10)
	f.appendOne(alice) // created after the bound
	next := ""
	for range 100 {
		refs, following, err := f.Store.Queued(f.ctx, before, next, 4)
		f.ok(err, "queued")
		if len(refs) > 4 {
			f.Fatalf("got %d refs, want at most 4", len(refs))
		}
		for _, ref := range refs {
			if !wanted[ref] {
				f.Errorf("unexpected or repeated ref: %+v", ref)
			}
			delete(wanted, ref)
		}
		next = following
		if next == "" {
			break
		}
	}
	want(f, next, "", "end of the walk")
	want(f, len(wanted), 0, "refs that the walk left out")
}
