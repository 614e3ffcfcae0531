package storetest

import (
	"slices"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
)

// A drained call comes from a spill, which has already answered it: the caller has its message ids. Whatever happened in the
// meantime, its messages must be stored afterwards, exactly once. Append decides in this order:
//
//  1. A call with a repeated message id is Invalid, like one with invalid fields. Nothing of the Append is stored, and the drainer
//     finds the invalid call by bisection.
//  2. If one of its messages is stored, by an earlier Append or an earlier call of the same one, the call succeeded before. The outcome
//     is Replayed, whichever call owns its key now, with its own batch and receipts. Receipts have the seqs of the stored messages
//     (zero if there is none) and the status of the first answer, queued or scheduled.
//  3. If its key is in force, with any fingerprint, the outcome is Duplicate. Each message is stored with two events: its acceptance,
//     and Canceled with ReasonDuplicate. It gets no seq, inbox entry or task. The other call keeps the key. The receipts have status
//     Canceled and no seq.
//  4. Otherwise the outcome is Stored, as for any call.
var drainedTests = map[string]func(*fixture){
	"new call: is stored": func(f *fixture) {
		m, later := f.message(alice), f.message(alice)
		later.SendAt = later.CreatedAt().Add(time.Hour)
		call := f.key(f.call(m, later), "k", 1)
		call.Batch = esh3ar.NewBatchID()
		stored := f.append(f.drained(call))[0]
		want(f, stored.Outcome, esh3ar.Stored, "outcome")
		want(f, stored.Receipts[0], esh3ar.Receipt{ID: m.ID, Seq: 1, Status: esh3ar.Queued, Recipient: alice}, "receipt")
		want(f, stored.Receipts[1], esh3ar.Receipt{ID: later.ID, Status: esh3ar.Scheduled, Recipient: alice}, "receipt of the scheduled message")
		want(f, m.Seq, 1, "seq set in the message")
		wantSameAnswer(f, f.append(f.key(f.call(f.message(alice), f.message(alice)), "k", 1))[0], stored)
		f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records, 1)
		f.verify("at the end")
	},
	"drained twice: is stored once": func(f *fixture) {
		call := f.drained(f.call(f.message(alice), f.message(bob)))
		call.Batch = esh3ar.NewBatchID()
		call.Messages[0].CorrelationID = "c-1"
		f.append(call)
		f.settle(f.change(call.Messages[1], esh3ar.Delivered))
		wantReplay(f, f.append(again(call))[0], call, 1, 1)
		f.Instance = f.Reopen(f.T)
		wantReplay(f, f.append(again(call))[0], call, 1, 1)
		want(f, f.counter(alice), 1, "counter")
		want(f, len(f.readLog("", 10)), 3, "events")
		f.verify("afterwards")
	},
	"drained twice in one batch: is stored once": func(f *fixture) {
		call := f.drained(f.call(f.message(alice), f.message(alice)))
		answers := f.append(call, again(call), f.call(f.message(alice)))
		want(f, answers[0].Outcome, esh3ar.Stored, "outcome")
		wantReplay(f, answers[1], call, 1, 2)
		want(f, answers[2].Receipts[0].Seq, 3, "seq of the next call")
		f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records, 1, 2, 3)
		f.verify("afterwards")
	},
	"also appended in the same batch: is stored once": func(f *fixture) {
		now, later := f.call(f.message(alice)), f.call(f.message(alice))
		later.Messages[0].SendAt = later.Messages[0].CreatedAt().Add(time.Second)
		answers := f.append(now, later, f.drained(again(now)), f.drained(again(later)))
		wantReplay(f, answers[2], now, 1)
		wantReplay(f, answers[3], later, 0)
		want(f, len(f.readLog("", 10)), 2, "events")
		f.verify("afterwards")
	},
	"also appended before: is stored once": func(f *fixture) {
		call := f.key(f.call(f.message(alice)), "k", 1)
		call.Messages[0].ExpiresAt = f.now().Add(time.Hour)
		f.append(call)
		wantReplay(f, f.append(f.drained(again(call)))[0], call, 1)
		want(f, f.record(call.Messages[0].ID).Status, esh3ar.Queued, "status")
		want(f, len(f.history(call.Messages[0].ID)), 1, "events")
	},
	"scheduled message also appended before: is stored once": func(f *fixture) {
		m := f.appendScheduled(alice, time.Second)
		wantReplay(f, f.append(f.drained(again(f.call(m))))[0], f.call(m), 0)
		f.clock.Store(int64(m.SendAt))
		want(f, f.settle(f.enterChange(f.claim()[0]))[0].Seq, 1, "seq when it is due")
		wantReplay(f, f.append(f.drained(again(f.call(m))))[0], f.call(m), 1)
		want(f, len(f.claim()), 0, "remaining tasks")
		f.verify("afterwards")
	},
	"key used by another call: is a duplicate":                  func(f *fixture) { duplicate(f, 2) },
	"key used by the same call on another node: is a duplicate": func(f *fixture) { duplicate(f, 1) },
	"key used earlier in the batch: is a duplicate": func(f *fixture) {
		first, second := f.key(f.call(f.message(alice)), "k", 1), f.key(f.call(f.message(alice)), "k", 1)
		answers := f.append(first, f.drained(second))
		want(f, answers[1].Outcome, esh3ar.Duplicate, "outcome")
		wantDuplicate(f, second.Messages[0])
		third := f.key(f.call(f.message(alice)), "drained first", 1)
		fourth := f.key(f.call(f.message(alice)), "drained first", 1)
		answers = f.append(f.drained(third), fourth)
		wantSameAnswer(f, answers[1], answers[0])
		want(f, f.counter(alice), 2, "counter")
	},
	"duplicate drained twice: is stored once": func(f *fixture) {
		f.append(f.key(f.call(f.message(alice)), "k", 1))
		call := f.drained(f.key(f.call(f.message(alice)), "k", 1))
		want(f, f.append(call, f.call(f.message(bob)))[0].Outcome, esh3ar.Duplicate, "outcome")
		wantReplay(f, f.append(again(call))[0], call, 0)
		f.clock.Add((25 * time.Hour).Milliseconds())
		wantReplay(f, f.append(again(call))[0], call, 0)
		wantDuplicate(f, call.Messages[0])
		second := f.drained(f.key(f.call(f.message(bob)), "k2", 1))
		f.append(f.key(f.call(f.message(alice)), "k2", 1))
		answers := f.append(second, again(second))
		want(f, answers[0].Outcome, esh3ar.Duplicate, "outcome")
		wantReplay(f, answers[1], second, 0)
		f.verify("afterwards")
	},
	"key has expired: is stored": func(f *fixture) {
		call := f.key(f.call(f.message(alice)), "k", 1)
		f.clock.Store(int64(call.Key.ExpiresAt) + 1)
		want(f, f.append(f.drained(call))[0].Outcome, esh3ar.Stored, "outcome")
		want(f, f.append(f.key(f.call(f.message(alice)), "k", 2))[0].Outcome, esh3ar.Stored, "outcome of a new call with the key")
	},
	"already due or expired: is stored, and its task is due": func(f *fixture) {
		over, due := f.message(alice), f.message(alice)
		over.TTL, over.ExpiresAt = time.Second, over.CreatedAt().Add(time.Second)
		due.SendAt = due.CreatedAt().Add(time.Second)
		f.clock.Add(time.Hour.Milliseconds())
		answers := f.append(f.drained(f.call(over)), f.drained(f.call(due)))
		want(f, answers[0].Receipts[0].Seq, 1, "seq")
		want(f, answers[1].Receipts[0].Status, esh3ar.Scheduled, "receipt of a message that is already due")
		tasks := f.claim()
		want(f, len(tasks), 2, "tasks")
		for _, task := range tasks {
			if task.Message == over.ID {
				want(f, f.settle(f.expireChange(task))[0].Progress.Status, esh3ar.Expired, "status after its task")
			} else {
				want(f, f.settle(f.enterChange(task))[0].Seq, 2, "seq after its task")
			}
		}
		f.verify("afterwards")
	},
	"duplicate: is purged after its retention": func(f *fixture) {
		f.append(f.key(f.call(f.message(alice)), "k", 1))
		call := f.drained(f.key(f.call(f.message(alice)), "k", 1))
		call.Messages[0].ExpiresAt = f.now().Add(time.Hour)
		f.append(call)
		want(f, len(f.claim()), 0, "tasks")
		f.clock.Add((2 * time.Hour).Milliseconds())
		want(f, len(f.claim()), 0, "tasks after its expiry")
		want(f, f.purge(f.now(), 10), 1, "purged")
		_, err := f.Store.Message(f.ctx, call.Messages[0].ID)
		f.wantCode(err, esh3ar.NotFound, "message")
		f.verify("afterwards")
	},
	"repeated message id: nothing is stored": func(f *fixture) {
		m := f.message(alice)
		good := f.drained(f.call(f.message(bob)))
		_, err := f.Store.Append(f.ctx, []*esh3ar.Call{good, f.drained(f.call(m, f.message(alice), m))})
		f.wantCode(err, esh3ar.Invalid, "append")
		_, err = f.Store.Message(f.ctx, good.Messages[0].ID)
		f.wantCode(err, esh3ar.NotFound, "message of the other call")
		want(f, f.append(again(good))[0].Outcome, esh3ar.Stored, "outcome of the other call alone")
	},
	"power failure after each drain: nothing is lost": func(f *fixture) {
		if !f.engine.CanCrash {
			f.Skip("this engine cannot simulate power failures; its own tests must")
		}
		call := f.drained(f.key(f.call(f.message(alice), f.message(bob)), "k", 1))
		lost := f.drained(f.key(f.call(f.message(alice)), "k", 1))
		f.append(call)
		f.Instance = f.Crash(f.T)
		wantReplay(f, f.append(again(call))[0], call, 1, 1)
		f.append(lost)
		f.Instance = f.Crash(f.T)
		wantDuplicate(f, lost.Messages[0])
		wantReplay(f, f.append(again(lost))[0], lost, 0)
		f.verify("afterwards")
	},
	"concurrent drains: one stores the call": func(f *fixture) {
		const drains = 8
		call := f.key(f.call(f.message(alice), f.message(bob)), "k", 1)
		outcomes := make([]esh3ar.Outcome, drains)
		var group sync.WaitGroup
		for i := range drains {
			group.Go(func() {
				answers, err := f.Store.Append(f.ctx, []*esh3ar.Call{f.drained(again(call))})
				if err != nil {
					f.Errorf("append: %v", err)
					return
				}
				outcomes[i] = answers[0].Outcome
			})
		}
		group.Wait()
		slices.Sort(outcomes)
		want(f, outcomes[0], esh3ar.Stored, "first outcome")
		want(f, outcomes[1], esh3ar.Replayed, "second outcome")
		want(f, outcomes[drains-1], esh3ar.Replayed, "last outcome")
		want(f, f.counter(alice), 1, "counter")
		want(f, len(f.readLog("", 10)), 2, "events")
	},
}

func (f *fixture) drained(c *esh3ar.Call) *esh3ar.Call {
	c.Drained = true
	return c
}

// again returns a copy of the call, as the spill reads it from disk again.
func again(c *esh3ar.Call) *esh3ar.Call {
	copied := *c
	copied.Messages = make([]*esh3ar.Message, len(c.Messages))
	for i, m := range c.Messages {
		one := *m
		one.Seq = 0
		copied.Messages[i] = &one
	}
	return &copied
}

// duplicate drains a call whose key was used in the meantime by a call with the given fingerprint.
func duplicate(f *fixture, fingerprint byte) {
	owner := f.append(f.key(f.call(f.message(alice)), "k", fingerprint))[0]
	plain, later := f.message(alice), f.message(bob)
	plain.CorrelationID, plain.Metadata = "c-1", map[string]string{"a": "1"}
	later.SendAt = later.CreatedAt().Add(time.Hour)
	later.TTL, later.ExpiresAt = time.Hour, later.SendAt.Add(time.Hour)
	call := f.drained(f.key(f.call(plain, later), "k", 1))
	call.Batch = esh3ar.NewBatchID()
	got := f.append(call)[0]
	want(f, got.Outcome, esh3ar.Duplicate, "outcome")
	want(f, got.Batch, call.Batch, "batch")
	want(f, got.Receipts[0], esh3ar.Receipt{ID: plain.ID, Status: esh3ar.Canceled, Recipient: alice, CorrelationID: "c-1"}, "receipt")
	want(f, got.Receipts[1], esh3ar.Receipt{ID: later.ID, Status: esh3ar.Canceled, Recipient: bob}, "receipt")
	want(f, plain.Seq, 0, "seq of the message")
	wantDuplicate(f, plain)
	wantDuplicate(f, later)
	want(f, f.record(plain.ID).Metadata["a"], "1", "metadata")
	want(f, f.record(later.ID).ExpiresAt, later.ExpiresAt, "expires at")
	f.wantSeqs(f.pending(esh3ar.InboxQuery{Recipient: alice}).Records, 1)
	want(f, f.counter(bob), 0, "counter")
	want(f, len(f.claim()), 0, "tasks")
	want(f, len(f.listAll(esh3ar.ListQuery{Limit: 10, Statuses: []esh3ar.Status{esh3ar.Canceled}}, nil)), 2, "listed messages")
	repeated := f.append(f.key(f.call(f.message(alice)), "k", fingerprint))[0]
	wantSameAnswer(f, repeated, owner)
	f.verify("afterwards")
}

// wantDuplicate checks a message that was stored as a duplicate.
func wantDuplicate(f *fixture, m *esh3ar.Message) {
	f.Helper()
	r := f.record(m.ID)
	want(f, r.Stage, esh3ar.Stage{Life: 1, Status: esh3ar.Canceled}, "stage")
	want(f, r.Reason, esh3ar.ReasonDuplicate, "reason")
	want(f, r.Seq, 0, "seq")
	want(f, r.Version, 2, "version")
	want(f, r.Content, m.Content, "content")
	want(f, r.ScheduledAt, m.SendAt, "scheduled at")
	if r.EndedAt < m.CreatedAt() || r.EndedAt > f.now() {
		f.Errorf("message ended at %s, want between its creation at %s and now, %s", r.EndedAt, m.CreatedAt(), f.now())
	}
	first := esh3ar.Queued
	if !m.SendAt.IsZero() {
		first = esh3ar.Scheduled
	}
	history := f.history(m.ID)
	if len(history) != 2 || history[0].Status != first || history[1].Status != esh3ar.Canceled || history[1].Reason != esh3ar.ReasonDuplicate {
		f.Errorf("got history %+v, want accepted and canceled", history)
	}
	var logged []esh3ar.Event
	for _, entry := range f.readLog("", 1000) {
		if entry.Event.Message == m.ID {
			logged = append(logged, entry.Event)
		}
	}
	if !slices.EqualFunc(logged, history, sameEvent) {
		f.Errorf("got log %+v, want the history %+v", logged, history)
	}
}

// wantReplay checks the answer to a call that was stored before.
func wantReplay(f *fixture, got esh3ar.Answer, call *esh3ar.Call, seqs ...esh3ar.Seq) {
	f.Helper()
	want(f, got.Outcome, esh3ar.Replayed, "outcome")
	want(f, got.Batch, call.Batch, "batch")
	if len(got.Receipts) != len(seqs) {
		f.Fatalf("got %d receipts, want %d", len(got.Receipts), len(seqs))
	}
	for i, m := range call.Messages {
		wanted := esh3ar.Receipt{ID: m.ID, Seq: seqs[i], Status: esh3ar.Queued, Recipient: m.Recipient, CorrelationID: m.CorrelationID}
		if !m.SendAt.IsZero() {
			wanted.Status = esh3ar.Scheduled
		}
		want(f, got.Receipts[i], wanted, "receipt")
	}
}
