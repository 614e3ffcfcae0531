package storetest

import (
	"context"
	"slices"

	"github.com/esh3artech/esh3ar"
)

var durabilityTests = map[string]func(*fixture){
	"reopening keeps all": func(f *fixture) {
		keepsAll(f, func() { f.Instance = f.Reopen(f.T) })
	},
	"a power cut keeps all that was answered": func(f *fixture) {
		if !f.engine.CanCrash {
			f.Skip("this engine cannot cut its own power; its own tests must")
		}
		keepsAll(f, func() { f.Instance = f.Crash(f.T) })
	},
	"a power cut between any two answers": func(f *fixture) {
		if !f.engine.CanCrash {
			f.Skip("this engine cannot cut its own power; its own tests must")
		}
		for i := range 12 {
			m := f.sent(alice)
			f.Instance = f.Crash(f.T)
			want(f, f.record(m.ID).Seq, esh3ar.Seq(i+1), "seq")
			f.settle(f.to(m, esh3ar.Sent))
			f.Instance = f.Crash(f.T)
			want(f, f.record(m.ID).Status, esh3ar.Sent, "status")
		}
		wantComplete(f, f.log("", 1000))
	},
	"a caller that is gone before the work was taken up has committed nothing": func(f *fixture) {
		ctx, cancel := context.WithCancel(f.ctx)
		cancel()
		m := f.message(alice)
		_, err := f.Store.Append(ctx, []*esh3ar.Call{f.call(m)})
		if err == nil { // it was taken up at once: then it must be there
			want(f, f.record(m.ID).Seq, 1, "seq")
			return
		}
		f.wantCode(err, esh3ar.Abandoned, "append")
		_, err = f.Store.Message(f.ctx, m.ID)
		f.wantCode(err, esh3ar.NotFound, "message")
	},
	"a closed store answers": func(f *fixture) {
		before := f.Store
		m := f.sent(alice)
		f.Instance = f.Reopen(f.T)
		_, err := before.Append(f.ctx, []*esh3ar.Call{f.call(f.message(alice))})
		f.wantCode(err, esh3ar.StoreUnavailable, "append")
		_, err = before.Settle(f.ctx, []esh3ar.Change{f.to(m, esh3ar.Sent)})
		f.wantCode(err, esh3ar.StoreUnavailable, "settle")
		_, err = before.Message(f.ctx, m.ID)
		f.wantCode(err, esh3ar.StoreUnavailable, "message")
		_, err = before.Pending(f.ctx, esh3ar.InboxQuery{Recipient: alice, Limit: 1})
		f.wantCode(err, esh3ar.StoreUnavailable, "pending")
	},
}

// keepsAll fills a store, comes back to it, and compares everything that can be read; then it goes on writing.
func keepsAll(f *fixture, comeBack func()) {
	key := account(f)
	keyed := f.key(f.call(f.message(bob), f.message(bob)), "k", 1)
	stored := f.append(keyed)[0]
	fillLog(f)
	c := f.to(keyed.Messages[0], 0)
	c.Attempt = 1
	f.settle(c)
	setting, err := f.Store.SettingOnce(f.ctx, "s", []byte("v"))
	f.ok(err, "setting")
	before := readAll(f)

	comeBack()
	after := readAll(f)
	if !slices.EqualFunc(before.log, after.log, sameEntry) {
		f.Errorf("event log: %d entries before, %d after", len(before.log), len(after.log))
	}
	want(f, len(after.list), len(before.list), "listed")
	for i := range before.list {
		want(f, after.list[i].Progress, before.list[i].Progress, "progress")
		want(f, after.list[i].Seq, before.list[i].Seq, "seq")
	}
	want(f, len(after.waiting), len(before.waiting), "waiting")
	twin := f.key(f.call(f.message(bob), f.message(bob)), "k", 1)
	wantTwin(f, f.append(twin)[0], stored)
	got, err := f.Store.KeyByHash(f.ctx, key.Hash)
	f.ok(err, "key by hash")
	want(f, got, key, "api key")
	again, err := f.Store.SettingOnce(f.ctx, "s", []byte("w"))
	f.ok(err, "setting")
	want(f, string(again), string(setting), "setting")

	counter := f.counter(bob)
	want(f, f.sent(bob).Seq, counter+1, "next seq")
	if log := f.log(before.log[len(before.log)-1].Position, 10); len(log) != 1 || log[0].Event.Version != 1 {
		f.Errorf("the log goes on with %v", log)
	}
}

type everything struct {
	log     []esh3ar.LogEntry
	list    []esh3ar.Record
	waiting []esh3ar.Record
}

func readAll(f *fixture) everything {
	f.Helper()
	return everything{
		log:     f.log("", 10_000),
		list:    f.walk(esh3ar.ListQuery{Limit: 100}, nil),
		waiting: append(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records, f.pending(esh3ar.InboxQuery{Recipient: bob}).Records...),
	}
}
