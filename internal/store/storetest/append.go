package storetest

import (
	"maps"
	"reflect"
	"sync"

	"github.com/esh3artech/esh3ar"
)

var appendTests = map[string]func(*fixture){
	"message: is read as sent": func(f *fixture) {
		m := f.message(alice)
		m.Subject, m.Content, m.CorrelationID = "مرحبا", "a\u0301\U0001F600 שלום", "order-1"
		m.Metadata, m.Priority = map[string]string{"a": "1", "": "empty name"}, esh3ar.Urgent
		m.ExpiresAt = f.now() + 1000
		f.send(m)
		want(f, m.Seq, 1, "seq")
		got := f.record(m.ID)
		if !maps.Equal(got.Metadata, m.Metadata) {
			f.Errorf("metadata: got %v, want %v", got.Metadata, m.Metadata)
		}
		if !reflect.DeepEqual(got.Message, *m) {
			f.Errorf("got %+v, want %+v", got.Message, *m)
		}
		wanted := esh3ar.Progress{Stage: esh3ar.Stage{Life: 1, Status: esh3ar.Queued}, Version: 1}
		want(f, got.Progress, wanted, "progress")
	},
	"several calls: answers and seqs are in order": func(f *fixture) {
		a, b := f.call(f.message(alice), f.message(bob), f.message(alice)), f.call(f.message(alice))
		a.Batch = esh3ar.NewBatchID()
		answers := f.append(a, b)
		want(f, answers[0].Outcome, esh3ar.Stored, "outcome")
		want(f, answers[0].Batch, a.Batch, "batch")
		for i, seq := range []esh3ar.Seq{1, 1, 2} {
			m := a.Messages[i]
			wanted := esh3ar.Receipt{ID: m.ID, Seq: seq, Status: esh3ar.Queued, Recipient: m.Recipient}
			want(f, answers[0].Receipts[i], wanted, "receipt")
			want(f, m.Seq, seq, "seq set in the message")
		}
		want(f, answers[1].Receipts[0].Seq, 3, "seq of the second call")
	},
	"no calls": func(f *fixture) { want(f, len(f.append()), 0, "answers") },
	"unknown message": func(f *fixture) {
		_, err := f.Store.Message(f.ctx, f.newID())
		f.wantCode(err, esh3ar.NotFound, "message")
		_, err = f.Store.History(f.ctx, f.newID())
		f.wantCode(err, esh3ar.NotFound, "history")
	},
	"message modified after append: store is unaffected": func(f *fixture) {
		m := f.appendOne(alice)
		m.Content = "changed"
		want(f, f.record(m.ID).Content, "hello", "content")
	},
	"invalid message: nothing of the call is stored": func(f *fixture) {
		bad := f.message(bob)
		bad.Priority = esh3ar.Priorities
		good := f.message(alice)
		_, err := f.Store.Append(f.ctx, []*esh3ar.Call{f.call(good, bad)})
		f.wantCode(err, esh3ar.Invalid, "append with an invalid priority")
		want(f, good.Seq, 0, "seq of a message of the rejected call")
		_, err = f.Store.Message(f.ctx, good.ID)
		f.wantCode(err, esh3ar.NotFound, "message of the rejected call")
		want(f, f.appendOne(alice).Seq, 1, "next seq")
	},
	"concurrent appends: seqs are dense": denseSeqs,
}

// denseSeqs appends concurrently and checks that seqs have no gaps and increase for every writer.
func denseSeqs(f *fixture) {
	const writers, rounds = 8, 25
	seen := make([]map[esh3ar.Recipient][]esh3ar.Seq, writers)
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			seen[w] = map[esh3ar.Recipient][]esh3ar.Seq{}
			for range rounds {
				call := f.call(f.message(alice), f.message(bob), f.message(alice))
				if _, err := f.Store.Append(f.ctx, []*esh3ar.Call{call}); err != nil {
					f.Errorf("append: %v", err)
					return
				}
				for _, m := range call.Messages {
					seen[w][m.Recipient] = append(seen[w][m.Recipient], m.Seq)
				}
			}
		})
	}
	group.Wait()
	for r, n := range map[esh3ar.Recipient]int{alice: 2 * writers * rounds, bob: writers * rounds} {
		used := map[esh3ar.Seq]bool{}
		for w := range writers {
			last := esh3ar.Seq(0)
			for _, seq := range seen[w][r] {
				if seq <= last || used[seq] {
					f.Fatalf("%s: seq %d follows %d, or is used twice", r, seq, last)
				}
				used[seq], last = true, seq
			}
		}
		want(f, f.counter(r), esh3ar.Seq(n), "counter")
		want(f, len(used), n, "distinct seqs")
		records, err := f.Store.Since(f.ctx, r, 0, 0, n+1)
		f.ok(err, "since")
		for i := range records {
			want(f, records[i].Seq, esh3ar.Seq(i+1), "stored seq")
		}
		want(f, len(records), n, "stored")
	}
}
