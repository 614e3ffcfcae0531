package storetest

import (
	"slices"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
)

var keyTests = map[string]func(*fixture){
	"a twin in a later batch gets the first answer": func(f *fixture) {
		first := f.message(alice)
		first.CorrelationID = "c-1"
		stored := f.append(f.key(f.call(first), "k", 1))[0]
		twin := f.message(alice)
		got := f.append(f.key(f.call(twin), "k", 1))[0]
		wantTwin(f, got, stored)
		want(f, twin.Seq, 0, "seq of the twin")
		want(f, f.counter(alice), 1, "counter")
		_, err := f.Store.Message(f.ctx, twin.ID)
		f.wantCode(err, esh3ar.NotFound, "the twin's message")
	},
	"a twin in the same batch gets the first answer": func(f *fixture) {
		answers := f.append(f.key(f.call(f.message(alice)), "k", 1), f.key(f.call(f.message(alice)), "k", 1),
			f.key(f.call(f.message(alice)), "k", 2), f.call(f.message(alice)))
		wantTwin(f, answers[1], answers[0])
		want(f, answers[2].Outcome, esh3ar.Mismatched, "other fingerprint")
		want(f, answers[3].Receipts[0].Seq, 2, "the call behind the twins")
		answers[1].Receipts[0].Seq = 99
		want(f, answers[0].Receipts[0].Seq, 1, "the first answer belongs to its caller")
	},
	"another call with the key": func(f *fixture) {
		f.append(f.key(f.call(f.message(alice)), "k", 1))
		got := f.append(f.key(f.call(f.message(alice)), "k", 2))[0]
		want(f, got.Outcome, esh3ar.Mismatched, "outcome")
		want(f, len(got.Receipts), 0, "receipts")
		want(f, f.counter(alice), 1, "counter")
	},
	"the scope of a key is the business": func(f *fixture) {
		f.append(f.key(f.call(f.message(alice)), "k", 1))
		f.business = esh3ar.NewBusinessID()
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 2))[0].Outcome, esh3ar.Stored, "outcome")
	},
	"a batch call replays whole": func(f *fixture) {
		call := f.key(f.call(f.message(alice), f.message(bob), f.message(alice)), "batch", 1)
		call.Batch = esh3ar.NewBatchID()
		for i, m := range call.Messages {
			m.CorrelationID = string(rune('a' + i))
		}
		stored := f.append(call)[0]
		again := f.key(f.call(f.message(alice), f.message(bob), f.message(alice)), "batch", 1)
		again.Batch = esh3ar.NewBatchID()
		wantTwin(f, f.append(again)[0], stored)
	},
	"a key lives until it expires": func(f *fixture) {
		call := f.key(f.call(f.message(alice)), "k", 1)
		expires := call.Key.ExpiresAt
		f.append(call)
		f.clock.Store(int64(expires) - 10)
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 1))[0].Outcome, esh3ar.Replayed, "before its end")
		f.clock.Store(int64(expires) + 10)
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 2))[0].Outcome, esh3ar.Stored, "after its end")
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 2))[0].Outcome, esh3ar.Replayed, "in its second life")
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 1))[0].Outcome, esh3ar.Mismatched, "the first call's twin then")
	},
	"a key that is over when it comes holds nothing": func(f *fixture) {
		a, b := f.key(f.call(f.message(alice)), "k", 1), f.key(f.call(f.message(alice)), "k", 1)
		a.Key.ExpiresAt, b.Key.ExpiresAt = f.now().Add(-time.Hour), f.now().Add(-time.Hour)
		answers := f.append(a, b)
		want(f, answers[1].Outcome, esh3ar.Stored, "second outcome")
	},
	"of concurrent twins one is stored": func(f *fixture) {
		const twins = 16
		answers := make([]esh3ar.Answer, twins)
		var group sync.WaitGroup
		for i := range twins {
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
			f.Fatal("none was stored")
		}
		for i, a := range answers {
			if i != stored {
				wantTwin(f, a, answers[stored])
			}
		}
		want(f, f.counter(alice), 1, "counter")
	},
}

// wantTwin checks that got repeats what was stored, whole.
func wantTwin(f *fixture, got, stored esh3ar.Answer) {
	f.Helper()
	want(f, got.Outcome, esh3ar.Replayed, "outcome")
	want(f, got.Batch, stored.Batch, "batch")
	if !slices.Equal(got.Receipts, stored.Receipts) {
		f.Errorf("receipts: got %v, want %v", got.Receipts, stored.Receipts)
	}
}
