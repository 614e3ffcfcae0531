package storetest

import (
	"context"
	"slices"
	"time"

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
	"a power cut behind every write of the port": func(f *fixture) {
		if !f.engine.CanCrash {
			f.Skip("this engine cannot cut its own power; its own tests must")
		}
		cutBehindEveryWrite(f)
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
	setting, err := f.Store.InitSetting(f.ctx, "s", []byte("v"))
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
	again, err := f.Store.InitSetting(f.ctx, "s", []byte("w"))
	f.ok(err, "setting")
	want(f, string(again), string(setting), "setting")

	counter := f.counter(bob)
	want(f, f.sent(bob).Seq, counter+1, "next seq")
	if log := f.log(before.log[len(before.log)-1].Position, 10); len(log) != 1 || log[0].Event.Version != 1 {
		f.Errorf("the log goes on with %v", log)
	}
}

// cutBehindEveryWrite does everything that the port can do, one thing after the other, cuts the power behind each, and
// holds what is there afterwards against what was there before.
func cutBehindEveryWrite(f *fixture) {
	var m, later, mortal *esh3ar.Message
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"append", func() { m = f.sent(alice) }},
		{"a batch with a key", func() { f.append(f.key(f.call(f.message(alice), f.message(bob)), "k", 1)) }},
		{"a twin", func() { f.append(f.key(f.call(f.message(alice), f.message(bob)), "k", 1)) }},
		{"schedule", func() { later = f.scheduled(alice, time.Second) }},
		{"a time to live", func() { mortal = f.mortal(bob, time.Second) }},
		{"settle", func() { f.settle(f.attempt(m, esh3ar.Sent, 1)) }},
		{"count an attempt", func() { f.settle(f.attempt(m, 0, 2)) }},
		{"fail", func() { f.fail(m) }},
		{"replay", func() { f.settle(f.replay(m)) }},
		{"fail again", func() { f.fail(m) }},
		{"discard", func() { f.ok(f.Store.Discard(f.ctx, f.business, m.ID), "discard") }},
		{"what is due", func() {
			f.clock.Add(5000)
			for _, t := range f.claim() {
				c := f.enter(t)
				if t.Kind == esh3ar.ExpireTask {
					c = f.expire(t)
				}
				want(f, f.settle(c)[0].Applied, true, "due")
			}
			want(f, f.record(later.ID).Status, esh3ar.Queued, "the scheduled one")
			want(f, f.record(mortal.ID).Status, esh3ar.Expired, "the mortal one")
		}},
		{"trim", func() { f.trim(f.now().Add(-time.Second)) }},
		{"purge", func() { f.clock.Add(1); f.purge(f.now(), 10) }},
		{"forget keys", func() { f.clock.Add((49 * time.Hour).Milliseconds()); f.forget(f.now()) }},
		{"append again", func() { f.sent(alice) }},
	} {
		step.do()
		before := readAll(f)
		f.Instance = f.Crash(f.T)
		after := readAll(f)
		if !slices.EqualFunc(before.log, after.log, sameEntry) || !slices.EqualFunc(before.list, after.list, sameRecord) ||
			!slices.EqualFunc(before.waiting, after.waiting, sameRecord) || !slices.EqualFunc(before.dead, after.dead, sameRecord) {
			f.Fatalf("%s: before the cut %+v, after it %+v", step.name, before, after)
		}
		f.verify(step.name)
	}
}

func sameRecord(a, b esh3ar.Record) bool {
	return a.ID == b.ID && a.Seq == b.Seq && a.Progress == b.Progress && a.ExpiresAt == b.ExpiresAt && a.Content == b.Content
}

// verify has the store look at itself.
func (f *fixture) verify(when string) {
	f.Helper()
	_, err := f.Store.Verify(f.ctx, false, func(found esh3ar.Finding) { f.Errorf("%s: %+v", when, found) })
	f.ok(err, "verify")
}

type everything struct {
	log     []esh3ar.LogEntry
	list    []esh3ar.Record
	waiting []esh3ar.Record
	dead    []esh3ar.Record
}

func readAll(f *fixture) everything {
	f.Helper()
	return everything{
		log:     f.log("", 10_000),
		list:    f.walk(esh3ar.ListQuery{Limit: 100}, nil),
		dead:    f.letters(esh3ar.DeadLetterQuery{}),
		waiting: append(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records, f.pending(esh3ar.InboxQuery{Recipient: bob}).Records...),
	}
}
