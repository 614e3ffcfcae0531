package storetest

import (
	"context"
	"slices"
	"time"

	"github.com/esh3artech/esh3ar"
)

var durabilityTests = map[string]func(*fixture){
	"reopen: nothing is lost": func(f *fixture) {
		checkNothingLost(f, func() { f.Instance = f.Reopen(f.T) })
	},
	"power failure: nothing acknowledged is lost": func(f *fixture) {
		if !f.engine.CanCrash {
			f.Skip("this engine cannot simulate power failures; its own tests must")
		}
		checkNothingLost(f, func() { f.Instance = f.Crash(f.T) })
	},
	"power failure after each answer: nothing is lost": func(f *fixture) {
		if !f.engine.CanCrash {
			f.Skip("this engine cannot simulate power failures; its own tests must")
		}
		for i := range 12 {
			m := f.appendOne(alice)
			f.Instance = f.Crash(f.T)
			want(f, f.record(m.ID).Seq, esh3ar.Seq(i+1), "seq")
			f.settle(f.change(m, esh3ar.Sent))
			f.Instance = f.Crash(f.T)
			want(f, f.record(m.ID).Status, esh3ar.Sent, "status")
		}
		wantComplete(f, f.readLog("", 1000))
	},
	"power failure after every kind of write: nothing is lost": func(f *fixture) {
		if !f.engine.CanCrash {
			f.Skip("this engine cannot simulate power failures; its own tests must")
		}
		crashAfterEveryWrite(f)
	},
	"context canceled before append: nothing is stored, or all": func(f *fixture) {
		ctx, cancel := context.WithCancel(f.ctx)
		cancel()
		m := f.message(alice)
		_, err := f.Store.Append(ctx, []*esh3ar.Call{f.call(m)})
		if err == nil { // the engine may have started the work before it checked the context
			want(f, f.record(m.ID).Seq, 1, "seq")
			return
		}
		f.wantCode(err, esh3ar.Abandoned, "append")
		_, err = f.Store.Message(f.ctx, m.ID)
		f.wantCode(err, esh3ar.NotFound, "message")
	},
	"closed store: returns errors": func(f *fixture) {
		before := f.Store
		m := f.appendOne(alice)
		f.Instance = f.Reopen(f.T)
		_, err := before.Append(f.ctx, []*esh3ar.Call{f.call(f.message(alice))})
		f.wantCode(err, esh3ar.StoreUnavailable, "append")
		_, err = before.Settle(f.ctx, []esh3ar.Change{f.change(m, esh3ar.Sent)})
		f.wantCode(err, esh3ar.StoreUnavailable, "settle")
		_, err = before.Message(f.ctx, m.ID)
		f.wantCode(err, esh3ar.StoreUnavailable, "message")
		_, err = before.Pending(f.ctx, esh3ar.InboxQuery{Recipient: alice, Limit: 1})
		f.wantCode(err, esh3ar.StoreUnavailable, "pending")
	},
}

// checkNothingLost fills a store, calls comeBack, compares everything that can be read, and continues to write.
func checkNothingLost(f *fixture, comeBack func()) {
	key := createAccount(f)
	keyed := f.key(f.call(f.message(bob), f.message(bob)), "k", 1)
	stored := f.append(keyed)[0]
	fillLog(f)
	c := f.change(keyed.Messages[0], 0)
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
	repeated := f.key(f.call(f.message(bob), f.message(bob)), "k", 1)
	wantSameAnswer(f, f.append(repeated)[0], stored)
	got, err := f.Store.KeyByHash(f.ctx, key.Hash)
	f.ok(err, "key by hash")
	want(f, got, key, "api key")
	again, err := f.Store.InitSetting(f.ctx, "s", []byte("w"))
	f.ok(err, "setting")
	want(f, string(again), string(setting), "setting")

	counter := f.counter(bob)
	want(f, f.appendOne(bob).Seq, counter+1, "next seq")
	if log := f.readLog(before.log[len(before.log)-1].Position, 10); len(log) != 1 || log[0].Event.Version != 1 {
		f.Errorf("the log continues with %v, want one event of version 1", log)
	}
}

// crashAfterEveryWrite performs every write of the port in turn, simulates a power failure after each, and compares
// everything that can be read.
func crashAfterEveryWrite(f *fixture) {
	var m, later, mortal *esh3ar.Message
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"append", func() { m = f.appendOne(alice) }},
		{"a batch with a key", func() { f.append(f.key(f.call(f.message(alice), f.message(bob)), "k", 1)) }},
		{"a repeated key", func() { f.append(f.key(f.call(f.message(alice), f.message(bob)), "k", 1)) }},
		{"schedule", func() { later = f.appendScheduled(alice, time.Second) }},
		{"a time to live", func() { mortal = f.appendExpiring(bob, time.Second) }},
		{"settle", func() { f.settle(f.attempt(m, esh3ar.Sent, 1)) }},
		{"count an attempt", func() { f.settle(f.attempt(m, 0, 2)) }},
		{"fail", func() { f.fail(m) }},
		{"replay", func() { f.settle(f.replay(m)) }},
		{"fail again", func() { f.fail(m) }},
		{"discard", func() { f.ok(f.Store.Discard(f.ctx, f.business, m.ID), "discard") }},
		{"due tasks", func() {
			f.clock.Add(5000)
			for _, t := range f.claim() {
				c := f.enterChange(t)
				if t.Kind == esh3ar.ExpireTask {
					c = f.expireChange(t)
				}
				want(f, f.settle(c)[0].Applied, true, "effect of a task applied")
			}
			want(f, f.record(later.ID).Status, esh3ar.Queued, "status of the scheduled message")
			want(f, f.record(mortal.ID).Status, esh3ar.Expired, "status of the expired message")
		}},
		{"trim", func() { f.trim(f.now().Add(-time.Second)) }},
		{"purge", func() { f.clock.Add(1); f.purge(f.now(), 10) }},
		{"forget keys", func() { f.clock.Add((49 * time.Hour).Milliseconds()); f.forget(f.now()) }},
		{"append again", func() { f.appendOne(alice) }},
	} {
		step.do()
		before := readAll(f)
		f.Instance = f.Crash(f.T)
		after := readAll(f)
		if !slices.EqualFunc(before.log, after.log, sameEntry) || !slices.EqualFunc(before.list, after.list, sameRecord) ||
			!slices.EqualFunc(before.waiting, after.waiting, sameRecord) || !slices.EqualFunc(before.dead, after.dead, sameRecord) {
			f.Fatalf("%s: read %+v before the power failure, %+v after it", step.name, before, after)
		}
		f.verify(step.name)
	}
}

func sameRecord(a, b esh3ar.Record) bool {
	return a.ID == b.ID && a.Seq == b.Seq && a.Progress == b.Progress && a.ExpiresAt == b.ExpiresAt && a.Content == b.Content
}

// verify runs Verify, which must find nothing.
func (f *fixture) verify(when string) {
	f.Helper()
	_, err := f.Store.Verify(f.ctx, false, func(found esh3ar.Finding) { f.Errorf("%s: %+v", when, found) })
	f.ok(err, "verify")
}

// everything is what can be read from a store.
type everything struct {
	log     []esh3ar.LogEntry
	list    []esh3ar.Record
	waiting []esh3ar.Record
	dead    []esh3ar.Record
}

func readAll(f *fixture) everything {
	f.Helper()
	return everything{
		log:     f.readLog("", 10_000),
		list:    f.listAll(esh3ar.ListQuery{Limit: 100}, nil),
		dead:    f.deadLetters(esh3ar.DeadLetterQuery{}),
		waiting: append(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records, f.pending(esh3ar.InboxQuery{Recipient: bob}).Records...),
	}
}
