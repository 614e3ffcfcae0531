package storetest

import (
	"slices"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
)

var keyTests = map[string]func(*fixture){
	"repeated key in a later batch: the first answer is replayed": func(f *fixture) {
		first := f.message(alice)
		first.CorrelationID = "c-1"
		stored := f.append(f.key(f.call(first), "k", 1))[0]
		repeated := f.message(alice)
		got := f.append(f.key(f.call(repeated), "k", 1))[0]
		wantSameAnswer(f, got, stored)
		want(f, repeated.Seq, 0, "seq of the repeated call")
		want(f, f.counter(alice), 1, "counter")
		_, err := f.Store.Message(f.ctx, repeated.ID)
		f.wantCode(err, esh3ar.NotFound, "message of the repeated call")
	},
	"repeated key in the same batch: the first answer is replayed": func(f *fixture) {
		answers := f.append(f.key(f.call(f.message(alice)), "k", 1), f.key(f.call(f.message(alice)), "k", 1),
			f.key(f.call(f.message(alice)), "k", 2), f.call(f.message(alice)))
		wantSameAnswer(f, answers[1], answers[0])
		want(f, answers[2].Outcome, esh3ar.Mismatched, "other fingerprint")
		want(f, answers[3].Receipts[0].Seq, 2, "seq of the next call")
		answers[1].Receipts[0].Seq = 99
		want(f, answers[0].Receipts[0].Seq, 1, "first answer after the second was modified")
	},
	"key with another fingerprint: is mismatched": func(f *fixture) {
		f.append(f.key(f.call(f.message(alice)), "k", 1))
		got := f.append(f.key(f.call(f.message(alice)), "k", 2))[0]
		want(f, got.Outcome, esh3ar.Mismatched, "outcome")
		want(f, len(got.Receipts), 0, "receipts")
		want(f, f.counter(alice), 1, "counter")
	},
	"key of another business: is independent": func(f *fixture) {
		f.append(f.key(f.call(f.message(alice)), "k", 1))
		f.business = esh3ar.NewBusinessID()
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 2))[0].Outcome, esh3ar.Stored, "outcome")
	},
	"batch with a key: all receipts are replayed": func(f *fixture) {
		call := f.key(f.call(f.message(alice), f.message(bob), f.message(alice)), "batch", 1)
		call.Batch = esh3ar.NewBatchID()
		for i, m := range call.Messages {
			m.CorrelationID = string(rune('a' + i))
		}
		stored := f.append(call)[0]
		again := f.key(f.call(f.message(alice), f.message(bob), f.message(alice)), "batch", 1)
		again.Batch = esh3ar.NewBatchID()
		wantSameAnswer(f, f.append(again)[0], stored)
	},
	"expired key: can be used again": func(f *fixture) {
		call := f.key(f.call(f.message(alice)), "k", 1)
		expires := call.Key.ExpiresAt
		f.append(call)
		f.clock.Store(int64(expires) - 10)
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 1))[0].Outcome, esh3ar.Replayed, "outcome before its expiry")
		f.clock.Store(int64(expires) + 10)
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 2))[0].Outcome, esh3ar.Stored, "outcome after its expiry")
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 2))[0].Outcome, esh3ar.Replayed, "outcome of a repetition")
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 1))[0].Outcome, esh3ar.Mismatched, "outcome of a repetition of the first call")
	},
	"key that is already expired: has no effect": func(f *fixture) {
		a, b := f.key(f.call(f.message(alice)), "k", 1), f.key(f.call(f.message(alice)), "k", 1)
		a.Key.ExpiresAt, b.Key.ExpiresAt = f.now().Add(-time.Hour), f.now().Add(-time.Hour)
		answers := f.append(a, b)
		want(f, answers[1].Outcome, esh3ar.Stored, "second outcome")
	},
	"concurrent calls with one key: one is stored": func(f *fixture) {
		const repeats = 16
		answers := make([]esh3ar.Answer, repeats)
		var group sync.WaitGroup
		for i := range repeats {
			group.Go(func() {
				got, err := f.Store.Append(f.ctx, []*esh3ar.Call{f.key(f.call(f.message(alice)), "k", 1)})
				if err != nil {
					f.Errorf("append: %v", err)
					return
				}
				answers[i] = got[0]
			})
		}
		group.Wait()
		stored := slices.IndexFunc(answers, func(a esh3ar.Answer) bool { return a.Outcome == esh3ar.Stored })
		if stored < 0 {
			f.Fatal("no call was stored")
		}
		for i, a := range answers {
			if i != stored {
				wantSameAnswer(f, a, answers[stored])
			}
		}
		want(f, f.counter(alice), 1, "counter")
	},
}

// wantSameAnswer checks that got replays the stored answer completely.
func wantSameAnswer(f *fixture, got, stored esh3ar.Answer) {
	f.Helper()
	want(f, got.Outcome, esh3ar.Replayed, "outcome")
	want(f, got.Batch, stored.Batch, "batch")
	if !slices.Equal(got.Receipts, stored.Receipts) {
		f.Errorf("receipts: got %v, want %v", got.Receipts, stored.Receipts)
	}
}
