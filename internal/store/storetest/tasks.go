package storetest

import (
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
)

var taskTests = map[string]func(*fixture){
	"a scheduled message waits outside the inbox": func(f *fixture) {
		m := f.scheduled(alice, time.Hour)
		want(f, m.Seq, 0, "seq")
		want(f, f.counter(alice), 0, "counter")
		f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records)
		r := f.record(m.ID)
		want(f, r.Progress, esh3ar.Progress{Stage: esh3ar.Stage{Life: 1}, Version: 1, ScheduledAt: m.SendAt}, "progress")
		want(f, r.Recipient, alice, "recipient")
		want(f, r.Content, m.Content, "content")
		want(f, len(f.walk(esh3ar.ListQuery{Limit: 10}, nil)), 1, "listed")
		wantStatuses(f, m, esh3ar.Scheduled)
		since, err := f.Store.Since(f.ctx, alice, 0, 0, 10)
		f.ok(err, "since")
		want(f, len(since), 0, "since")
		want(f, len(f.claim()), 0, "tasks")
	},
	"it enters when it is due, once, behind what came before": func(f *fixture) {
		m := f.scheduled(alice, time.Hour)
		f.sent(alice)
		f.clock.Store(int64(m.SendAt))
		tasks := f.claim()
		want(f, len(tasks), 1, "tasks")
		want(f, tasks[0], esh3ar.Task{Kind: esh3ar.EnqueueTask, Due: m.SendAt, Message: m.ID, Recipient: alice, Life: 1, Lease: tasks[0].Lease}, "task")
		results := f.settle(f.enter(tasks[0]), f.enter(tasks[0]))
		want(f, results[0].Applied, true, "applied")
		want(f, results[0].Seq, 2, "seq")
		want(f, results[1].Applied, false, "applied twice")
		r := f.record(m.ID)
		want(f, r.Stage, esh3ar.Stage{Life: 1, Status: esh3ar.Queued}, "stage")
		want(f, r.Seq, 2, "the record's seq")
		want(f, r.ScheduledAt, m.SendAt, "scheduled at")
		f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records, 1, 2)
		wantStatuses(f, m, esh3ar.Scheduled, esh3ar.Queued)
		f.clock.Add(time.Hour.Milliseconds())
		want(f, len(f.claim()), 0, "tasks afterwards")
		want(f, f.settle(f.to(m, esh3ar.Delivered))[0].Applied, true, "delivered")
		f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records, 1)
	},
	"several scheduled ones of one recipient": func(f *fixture) {
		a, b := f.scheduled(alice, 2*time.Hour), f.scheduled(alice, time.Hour)
		f.settle(f.to(a, esh3ar.Canceled))
		want(f, f.record(a.ID).Status, esh3ar.Canceled, "a")
		want(f, f.record(b.ID).Status, esh3ar.Scheduled, "b")
		f.clock.Add((3 * time.Hour).Milliseconds())
		tasks := f.claim()
		if len(tasks) == 0 {
			f.Fatal("no tasks")
		}
		want(f, tasks[0].Message, b.ID, "the earliest first")
		want(f, f.settle(f.enter(tasks[0]))[0].Seq, 1, "seq of b")
		for _, left := range tasks[1:] { // an engine may end a task with its message or leave it to run into nothing
			want(f, f.settle(f.enter(left))[0].Applied, false, "a canceled one enters")
		}
		want(f, len(f.claim()), 0, "tasks that are left")
		wantStatuses(f, a, esh3ar.Scheduled, esh3ar.Canceled)
	},
	"entered and canceled in one batch": func(f *fixture) {
		m := f.scheduled(alice, time.Hour)
		f.clock.Store(int64(m.SendAt))
		results := f.settle(f.enter(f.claim()[0]), f.to(m, esh3ar.Canceled))
		want(f, results[1].Applied, true, "canceled")
		f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records)
		want(f, f.counter(alice), 1, "counter")
		want(f, f.record(m.ID).Seq, 1, "seq")
	},
	"a message without a schedule does not enter": func(f *fixture) {
		m := f.sent(alice)
		want(f, f.settle(f.to(m, esh3ar.Queued))[0].Applied, false, "queued again")
		f.settle(f.to(m, esh3ar.Sent))
		want(f, f.settle(f.to(m, esh3ar.Queued))[0].Applied, false, "queued after sent")
		want(f, f.counter(alice), 1, "counter")
	},
	"the end of a time to live": func(f *fixture) {
		m := f.mortal(alice, time.Minute)
		f.clock.Store(int64(m.ExpiresAt) - 1)
		want(f, len(f.claim()), 0, "tasks before")
		f.clock.Add(1)
		tasks := f.claim()
		want(f, len(tasks), 1, "tasks")
		want(f, tasks[0].Kind, esh3ar.ExpireTask, "kind")
		want(f, f.settle(f.expire(tasks[0]))[0].Applied, true, "expired")
		want(f, f.record(m.ID).Status, esh3ar.Expired, "status")
		f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records)
		want(f, len(f.claim()), 0, "tasks afterwards")
	},
	"a task whose message has ended ends with it": func(f *fixture) {
		m := f.mortal(alice, time.Minute)
		f.settle(f.to(m, esh3ar.Delivered))
		f.clock.Store(int64(m.ExpiresAt))
		for _, left := range f.claim() { // unless it ended with its message already
			want(f, f.settle(f.expire(left))[0].Applied, false, "expired")
		}
		want(f, len(f.claim()), 0, "tasks afterwards")
		want(f, f.record(m.ID).Status, esh3ar.Delivered, "status")
	},
	"a replay has a time of its own": func(f *fixture) {
		m := f.mortal(alice, time.Minute)
		f.fail(m)
		f.clock.Add(1000)
		f.settle(f.replay(m))
		f.clock.Store(int64(m.ExpiresAt))
		want(f, len(f.claim()), 0, "tasks of the first life")
		f.clock.Add(60_000)
		second := f.claim()
		want(f, len(second), 1, "tasks of the second life")
		want(f, second[0].Life, 2, "life")
		want(f, f.settle(f.expire(second[0]))[0].Applied, true, "the second life's end")
	},
	"leases":                         leased,
	"a claim gives the oldest first": claimedInOrder,
	"claims side by side":            claimedOnce,
	"tasks survive a restart": func(f *fixture) {
		m := f.scheduled(alice, time.Hour)
		f.mortal(bob, time.Hour)
		f.Instance = f.Reopen(f.T)
		f.clock.Store(int64(m.SendAt) + 10)
		want(f, len(f.claim()), 2, "tasks")
		f.Instance = f.Reopen(f.T)
		f.clock.Add(testLease.Milliseconds()) // a store of several nodes cannot know that the holder is gone
		tasks := f.claim()
		want(f, len(tasks), 2, "tasks of a node that died with its leases")
		want(f, f.settle(f.enter(tasks[0]))[0].Seq, 1, "seq")
		want(f, f.record(m.ID).Recipient, alice, "recipient")
	},
}

// scheduled appends a message that is due in a while.
func (f *fixture) scheduled(r esh3ar.Recipient, in time.Duration) *esh3ar.Message {
	f.Helper()
	m := f.message(r)
	m.SendAt = m.CreatedAt().Add(in)
	answer := f.append(f.call(m))[0]
	want(f, answer.Receipts[0].Status, esh3ar.Scheduled, "receipt")
	want(f, answer.Receipts[0].Seq, 0, "receipt's seq")
	return m
}

// mortal appends a message with a time to live.
func (f *fixture) mortal(r esh3ar.Recipient, ttl time.Duration) *esh3ar.Message {
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

func (f *fixture) enter(t esh3ar.Task) esh3ar.Change {
	return esh3ar.Change{Message: t.Message, Recipient: t.Recipient, Life: t.Life, To: esh3ar.Queued, At: f.now(), Task: &t}
}

func (f *fixture) expire(t esh3ar.Task) esh3ar.Change {
	return esh3ar.Change{Message: t.Message, Recipient: t.Recipient, Life: t.Life, To: esh3ar.Expired, At: f.now(), Task: &t}
}

func leased(f *fixture) {
	m := f.scheduled(alice, time.Second)
	f.clock.Store(int64(m.SendAt))
	first := f.claim()
	want(f, len(first), 1, "first claim")
	want(f, len(f.claim()), 0, "while it is leased")
	f.clock.Add(testLease.Milliseconds())
	second := f.claim()
	want(f, len(second), 1, "after the lease")
	if second[0].Lease <= first[0].Lease {
		f.Errorf("lease %d after %d", second[0].Lease, first[0].Lease)
	}
	late := f.settle(f.enter(first[0]))[0]
	want(f, late.Applied, false, "the effect of who lost the lease")
	want(f, f.record(m.ID).Status, esh3ar.Scheduled, "status")
	want(f, f.settle(f.enter(second[0]))[0].Applied, true, "the effect of who has it")
	stranger := second[0]
	stranger.Message = f.newID()
	want(f, f.settle(f.enter(stranger))[0].Applied, false, "a task that there never was")
}

func claimedInOrder(f *fixture) {
	for i := range 10 {
		f.scheduled(alice, time.Duration(10-i)*time.Second)
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
			f.Fatalf("%d tasks over the limit", len(tasks))
		}
		claimed = append(claimed, tasks...)
	}
	want(f, len(claimed), 10, "tasks")
	for i := 1; i < len(claimed); i++ {
		if claimed[i].Due < claimed[i-1].Due {
			f.Errorf("due %s after %s", claimed[i].Due, claimed[i-1].Due)
		}
	}
}

// claimedOnce lets several claimers race for tasks: each task is had by one, and each message enters once.
func claimedOnce(f *fixture) {
	const count = 40
	for range count {
		f.scheduled(alice, time.Second)
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
					if _, err := f.Store.Settle(f.ctx, []esh3ar.Change{f.enter(t)}); err != nil {
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
	wantComplete(f, f.log("", 1000))
}
