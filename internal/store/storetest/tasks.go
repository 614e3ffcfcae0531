package storetest

import (
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
)

var taskTests = map[string]func(*fixture){
	"scheduled message: is not in the inbox": func(f *fixture) {
		m := f.appendScheduled(alice, time.Hour)
		want(f, m.Seq, 0, "seq")
		want(f, f.counter(alice), 0, "counter")
		f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records)
		r := f.record(m.ID)
		want(f, r.Progress, esh3ar.Progress{Stage: esh3ar.Stage{Life: 1}, Version: 1, ScheduledAt: m.SendAt}, "progress")
		want(f, r.Recipient, alice, "recipient")
		want(f, r.Content, m.Content, "content")
		want(f, len(f.listAll(esh3ar.ListQuery{Limit: 10}, nil)), 1, "listed")
		wantStatuses(f, m, esh3ar.Scheduled)
		since, err := f.Store.Since(f.ctx, alice, 0, 0, 10)
		f.ok(err, "since")
		want(f, len(since), 0, "since")
		want(f, len(f.claim()), 0, "tasks")
	},
	"scheduled message: enters the inbox once when it is due": func(f *fixture) {
		m := f.appendScheduled(alice, time.Hour)
		f.appendOne(alice)
		f.clock.Store(int64(m.SendAt))
		tasks := f.claim()
		want(f, len(tasks), 1, "tasks")
		want(f, tasks[0], esh3ar.Task{Kind: esh3ar.EnqueueTask, Due: m.SendAt, Message: m.ID, Recipient: alice, Life: 1, Lease: tasks[0].Lease}, "task")
		results := f.settle(f.enterChange(tasks[0]), f.enterChange(tasks[0]))
		want(f, results[0].Applied, true, "applied")
		want(f, results[0].Seq, 2, "seq")
		want(f, results[1].Applied, false, "applied a second time")
		r := f.record(m.ID)
		want(f, r.Stage, esh3ar.Stage{Life: 1, Status: esh3ar.Queued}, "stage")
		want(f, r.Seq, 2, "seq of the record")
		want(f, r.ScheduledAt, m.SendAt, "scheduled at")
		f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records, 1, 2)
		wantStatuses(f, m, esh3ar.Scheduled, esh3ar.Queued)
		f.clock.Add(time.Hour.Milliseconds())
		want(f, len(f.claim()), 0, "remaining tasks")
		want(f, f.settle(f.change(m, esh3ar.Delivered))[0].Applied, true, "delivered")
		f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records, 1)
	},
	"several scheduled messages: a canceled one does not enter": func(f *fixture) {
		a, b := f.appendScheduled(alice, 2*time.Hour), f.appendScheduled(alice, time.Hour)
		f.settle(f.change(a, esh3ar.Canceled))
		want(f, f.record(a.ID).Status, esh3ar.Canceled, "status of a")
		want(f, f.record(b.ID).Status, esh3ar.Scheduled, "status of b")
		f.clock.Add((3 * time.Hour).Milliseconds())
		tasks := f.claim()
		if len(tasks) == 0 {
			f.Fatal("got no tasks, want one at least")
		}
		want(f, tasks[0].Message, b.ID, "message of the earliest task")
		want(f, f.settle(f.enterChange(tasks[0]))[0].Seq, 1, "seq of b")
		for _, left := range tasks[1:] { // an engine may delete a task with its message, or leave a task without effect
			want(f, f.settle(f.enterChange(left))[0].Applied, false, "task of a canceled message applied")
		}
		want(f, len(f.claim()), 0, "remaining tasks")
		wantStatuses(f, a, esh3ar.Scheduled, esh3ar.Canceled)
	},
	"entered and canceled in one batch: has a seq and is not in the inbox": func(f *fixture) {
		m := f.appendScheduled(alice, time.Hour)
		f.clock.Store(int64(m.SendAt))
		results := f.settle(f.enterChange(f.claim()[0]), f.change(m, esh3ar.Canceled))
		want(f, results[1].Applied, true, "canceled")
		f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records)
		want(f, f.counter(alice), 1, "counter")
		want(f, f.record(m.ID).Seq, 1, "seq")
	},
	"message without a schedule: does not enter": func(f *fixture) {
		m := f.appendOne(alice)
		want(f, f.settle(f.change(m, esh3ar.Queued))[0].Applied, false, "queued again")
		f.settle(f.change(m, esh3ar.Sent))
		want(f, f.settle(f.change(m, esh3ar.Queued))[0].Applied, false, "queued after sent")
		want(f, f.counter(alice), 1, "counter")
	},
	"time to live: expires the message": func(f *fixture) {
		m := f.appendExpiring(alice, time.Minute)
		f.clock.Store(int64(m.ExpiresAt) - 1)
		want(f, len(f.claim()), 0, "tasks before its expiry")
		f.clock.Add(1)
		tasks := f.claim()
		want(f, len(tasks), 1, "tasks")
		want(f, tasks[0].Kind, esh3ar.ExpireTask, "kind")
		want(f, f.settle(f.expireChange(tasks[0]))[0].Applied, true, "expired")
		want(f, f.record(m.ID).Status, esh3ar.Expired, "status")
		f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records)
		want(f, len(f.claim()), 0, "remaining tasks")
	},
	"task of an ended message: has no effect": func(f *fixture) {
		m := f.appendExpiring(alice, time.Minute)
		f.settle(f.change(m, esh3ar.Delivered))
		f.clock.Store(int64(m.ExpiresAt))
		for _, left := range f.claim() { // unless the engine has deleted it with its message
			want(f, f.settle(f.expireChange(left))[0].Applied, false, "expired")
		}
		want(f, len(f.claim()), 0, "remaining tasks")
		want(f, f.record(m.ID).Status, esh3ar.Delivered, "status")
	},
	"replay: starts a new time to live": func(f *fixture) {
		m := f.appendExpiring(alice, time.Minute)
		f.fail(m)
		f.clock.Add(1000)
		f.settle(f.replay(m))
		f.clock.Store(int64(m.ExpiresAt))
		want(f, len(f.claim()), 0, "tasks of the first life")
		f.clock.Add(60_000)
		second := f.claim()
		want(f, len(second), 1, "tasks of the second life")
		want(f, second[0].Life, 2, "life")
		want(f, f.settle(f.expireChange(second[0]))[0].Applied, true, "expiry of the second life applied")
	},
	"lease: only the newest holder has an effect": leased,
	"claim: earliest task first":                  claimedInOrder,
	"concurrent claims: each task has one effect": claimedOnce,
	"restart: tasks stay": func(f *fixture) {
		m := f.appendScheduled(alice, time.Hour)
		f.appendExpiring(bob, time.Hour)
		f.Instance = f.Reopen(f.T)
		f.clock.Store(int64(m.SendAt) + 10)
		want(f, len(f.claim()), 2, "tasks")
		f.Instance = f.Reopen(f.T)
		f.clock.Add(testLease.Milliseconds()) // a store shared by nodes cannot know that the holder has ended
		tasks := f.claim()
		want(f, len(tasks), 2, "tasks of a node that ended with its leases")
		want(f, f.settle(f.enterChange(tasks[0]))[0].Seq, 1, "seq")
		want(f, f.record(m.ID).Recipient, alice, "recipient")
	},
}

// appendScheduled appends a message that is due after the given duration.
func (f *fixture) appendScheduled(r esh3ar.Recipient, in time.Duration) *esh3ar.Message {
	f.Helper()
	m := f.message(r)
	m.SendAt = m.CreatedAt().Add(in)
	answer := f.append(f.call(m))[0]
	want(f, answer.Receipts[0].Status, esh3ar.Scheduled, "receipt")
	want(f, answer.Receipts[0].Seq, 0, "seq of the receipt")
	return m
}

// appendExpiring appends a message with a time to live.
func (f *fixture) appendExpiring(r esh3ar.Recipient, ttl time.Duration) *esh3ar.Message {
	f.Helper()
	m := f.message(r)
	m.TTL, m.ExpiresAt = ttl, m.CreatedAt().Add(ttl)
	f.send(m)
	return m
}

const testLease = 30 * time.Second

func (f *fixture) claim() []esh3ar.Task {
	f.Helper()
	tasks, err := f.Store.Claim(f.ctx, testLease, 100)
	f.ok(err, "claim")
	return tasks
}

func (f *fixture) enterChange(t esh3ar.Task) esh3ar.Change {
	return esh3ar.Change{Message: t.Message, Recipient: t.Recipient, Life: t.Life, To: esh3ar.Queued, At: f.now(), Task: &t}
}

func (f *fixture) expireChange(t esh3ar.Task) esh3ar.Change {
	return esh3ar.Change{Message: t.Message, Recipient: t.Recipient, Life: t.Life, To: esh3ar.Expired, At: f.now(), Task: &t}
}

// leased lets a lease expire and checks which holder has an effect.
func leased(f *fixture) {
	m := f.appendScheduled(alice, time.Second)
	f.clock.Store(int64(m.SendAt))
	first := f.claim()
	want(f, len(first), 1, "first claim")
	want(f, len(f.claim()), 0, "claim while the task is leased")
	f.clock.Add(testLease.Milliseconds())
	second := f.claim()
	want(f, len(second), 1, "claim after the lease")
	if second[0].Lease <= first[0].Lease {
		f.Errorf("lease %d follows %d", second[0].Lease, first[0].Lease)
	}
	late := f.settle(f.enterChange(first[0]))[0]
	want(f, late.Applied, false, "applied with a lost lease")
	want(f, f.record(m.ID).Status, esh3ar.Scheduled, "status")
	want(f, f.settle(f.enterChange(second[0]))[0].Applied, true, "applied with the current lease")
	stranger := second[0]
	stranger.Message = f.newID()
	want(f, f.settle(f.enterChange(stranger))[0].Applied, false, "applied for an unknown task")
}

// claimedInOrder claims tasks in small pages and checks their order.
func claimedInOrder(f *fixture) {
	for i := range 10 {
		f.appendScheduled(alice, time.Duration(10-i)*time.Second)
	}
	f.clock.Add(20_000)
	var claimed []esh3ar.Task
	for {
		tasks, err := f.Store.Claim(f.ctx, testLease, 3)
		f.ok(err, "claim")
		if len(tasks) == 0 {
			break
		}
		if len(tasks) > 3 {
			f.Fatalf("got %d tasks, want at most 3", len(tasks))
		}
		claimed = append(claimed, tasks...)
	}
	want(f, len(claimed), 10, "tasks")
	for i := 1; i < len(claimed); i++ {
		if claimed[i].Due < claimed[i-1].Due {
			f.Errorf("task due at %s follows one due at %s", claimed[i].Due, claimed[i-1].Due)
		}
	}
}

// claimedOnce runs concurrent workers: each message must enter once.
func claimedOnce(f *fixture) {
	const count = 40
	for range count {
		f.appendScheduled(alice, time.Second)
	}
	f.clock.Add(10_000)
	var group sync.WaitGroup
	var mu sync.Mutex
	had := map[esh3ar.MessageID]int{}
	for range 4 {
		group.Go(func() {
			for {
				tasks, err := f.Store.Claim(f.ctx, testLease, 3)
				if err != nil || len(tasks) == 0 {
					return
				}
				for _, t := range tasks {
					if _, err := f.Store.Settle(f.ctx, []esh3ar.Change{f.enterChange(t)}); err != nil {
						f.Errorf("settle: %v", err)
					}
					mu.Lock()
					had[t.Message]++
					mu.Unlock()
				}
			}
		})
	}
	group.Wait()
	want(f, len(had), count, "messages")
	want(f, f.counter(alice), count, "counter")
	wantComplete(f, f.readLog("", 1000))
}
