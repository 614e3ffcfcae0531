package storetest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/esh3artech/esh3ar"
)

// inboxModel is a model of one inbox under a random history. A store may cache low-water marks between reads, so the history
// mixes reads with everything that changes the undelivered messages: appends, steps in any order, replays, due messages,
// purges, reopening and power failures.
type inboxModel struct {
	*fixture
	recipient esh3ar.Recipient
	random    *rand.Rand
	counter   esh3ar.Seq
	waiting   map[esh3ar.Seq]*esh3ar.Message // undelivered messages by seq
	failed    []*esh3ar.Message              // dead letters
	scheduled []*esh3ar.Message              // scheduled messages that have no seq yet
	steps     []string                       // steps so far, for failure reports
}

// inboxHistories runs random histories, each in its own inbox.
func inboxHistories(f *fixture) {
	for seed := range uint64(12) {
		m := &inboxModel{
			fixture: f, recipient: alice + esh3ar.Recipient(seed), random: rand.New(rand.NewPCG(seed, 14)),
			waiting: map[esh3ar.Seq]*esh3ar.Message{},
		}
		for range 60 {
			m.step()
			m.checkWaiting()
			if m.random.IntN(2) == 0 {
				m.checkPage(esh3ar.InboxQuery{})
			}
			if f.Failed() {
				f.Fatalf("seed %d, after %q", seed, m.steps)
			}
		}
	}
}

// logStep records a step.
func (m *inboxModel) logStep(format string, args ...any) {
	m.steps = append(m.steps, fmt.Sprintf(format, args...))
}

// step performs one random change or read.
func (m *inboxModel) step() {
	switch n := m.random.IntN(40); {
	case n < 10:
		m.append()
	case n < 24:
		m.settleSome()
	case n < 32:
		m.readSome()
	case n < 34:
		m.schedule()
	case n < 36:
		m.enterDue()
	case n < 38:
		m.replaySome()
	case n < 39:
		m.clock.Add(1)
		m.purge(m.now(), 100)
		m.failed = nil
		m.logStep("purge")
	default:
		m.restart()
	}
}

// restart reopens the store, or simulates a power failure if the engine can.
func (m *inboxModel) restart() {
	if m.engine.CanCrash && m.random.IntN(2) == 0 {
		m.Instance = m.Crash(m.T)
		m.logStep("crash")
		return
	}
	m.Instance = m.Reopen(m.T)
	m.logStep("reopen")
}

// append appends one to four messages of random priorities.
func (m *inboxModel) append() {
	messages := make([]*esh3ar.Message, 1+m.random.IntN(4))
	for i := range messages {
		messages[i] = m.message(m.recipient)
		messages[i].Priority = esh3ar.Priority(m.random.IntN(esh3ar.Priorities))
	}
	m.send(messages...)
	for _, one := range messages {
		m.counter++
		want(m.fixture, one.Seq, m.counter, "seq of an append")
		m.waiting[m.counter] = one
		m.logStep("append %d to lane %d", one.Seq, one.Priority)
	}
}

// settleSome settles up to three undelivered messages in one batch, in random order. Some of the statuses do not end a message.
func (m *inboxModel) settleSome() {
	seqs := slices.Sorted(maps.Keys(m.waiting))
	m.random.Shuffle(len(seqs), func(i, j int) { seqs[i], seqs[j] = seqs[j], seqs[i] })
	var changes []esh3ar.Change
	for _, seq := range seqs[:min(len(seqs), 1+m.random.IntN(3))] {
		to := []esh3ar.Status{esh3ar.Pending, esh3ar.Sent, esh3ar.Delivered, esh3ar.Read, esh3ar.Failed, esh3ar.Canceled}[m.random.IntN(6)]
		c := m.change(m.waiting[seq], to)
		if to == esh3ar.Failed {
			c.Reason = esh3ar.ReasonAttemptsSpent
			m.failed = append(m.failed, m.waiting[seq])
		}
		if to != esh3ar.Pending && to != esh3ar.Sent {
			delete(m.waiting, seq)
		}
		changes = append(changes, c)
		m.logStep("%d to %s", seq, to)
	}
	if len(changes) > 0 {
		m.settle(changes...)
	}
}

// replaySome replays a random dead letter, which gets a new seq.
func (m *inboxModel) replaySome() {
	if len(m.failed) == 0 {
		return
	}
	i := m.random.IntN(len(m.failed))
	one := m.failed[i]
	m.failed = slices.Delete(m.failed, i, i+1)
	m.entered(one, m.settle(m.fixture.replay(one))[0])
}

func (m *inboxModel) schedule() {
	m.scheduled = append(m.scheduled, m.fixture.appendScheduled(m.recipient, time.Minute))
	m.logStep("schedule")
}

// enterDue moves all scheduled messages into the inbox.
func (m *inboxModel) enterDue() {
	if len(m.scheduled) == 0 {
		return
	}
	m.clock.Add(time.Hour.Milliseconds())
	for _, task := range m.claim() {
		i := slices.IndexFunc(m.scheduled, func(one *esh3ar.Message) bool { return one.ID == task.Message })
		if i < 0 { // a task of an earlier history
			m.settle(m.enterChange(task))
			continue
		}
		one := m.scheduled[i]
		m.scheduled = slices.Delete(m.scheduled, i, i+1)
		m.entered(one, m.settle(m.enterChange(task))[0])
	}
}

// entered records that a message got a new seq.
func (m *inboxModel) entered(one *esh3ar.Message, s esh3ar.Settled) {
	m.counter++
	want(m.fixture, s.Seq, m.counter, "seq of a message that entered")
	m.waiting[s.Seq] = one
	m.logStep("enter %d in lane %d", s.Seq, one.Priority)
}

// readSome reads a page with random positions, skipped lanes and limit.
func (m *inboxModel) readSome() {
	var q esh3ar.InboxQuery
	for p := range q.After {
		if m.random.IntN(2) == 0 {
			q.After[p] = esh3ar.Seq(m.random.Uint64N(uint64(m.counter) + 3))
		}
		q.Skip[p] = m.random.IntN(4) == 0
	}
	q.Limit = 1 + m.random.IntN(6)
	m.checkPage(q)
	m.logStep("read after %v without %v, limit %d", q.After, q.Skip, q.Limit)
}

// checkPage compares a page with the model.
func (m *inboxModel) checkPage(q esh3ar.InboxQuery) {
	m.Helper()
	q.Recipient = m.recipient
	page := m.pending(q)
	limit := q.Limit
	if limit == 0 {
		limit = len(m.waiting)
	}
	var wanted []esh3ar.Seq
	for p := esh3ar.Priority(esh3ar.Priorities); p > 0; p-- {
		lane := p - 1
		for _, seq := range slices.Sorted(maps.Keys(m.waiting)) {
			if m.waiting[seq].Priority == lane && seq > q.After[lane] && !q.Skip[lane] {
				wanted = append(wanted, seq)
			}
		}
	}
	ended := len(wanted) <= limit && q.Skip == [esh3ar.Priorities]bool{}
	wanted = wanted[:min(limit, len(wanted))]
	got := make([]esh3ar.Seq, 0, len(page.Records))
	for i := range page.Records {
		got = append(got, page.Records[i].Seq)
	}
	if !slices.Equal(got, wanted) {
		m.Errorf("page of %+v: got seqs %v, want %v", q, got, wanted)
	}
	want(m.fixture, page.Counter, m.counter, "counter")
	want(m.fixture, page.Ended, ended, "ended")
}

// checkWaiting compares the counts per lane with the model.
func (m *inboxModel) checkWaiting() {
	m.Helper()
	var counts [esh3ar.Priorities]int
	for _, one := range m.waiting {
		counts[one.Priority]++
	}
	for lane, count := range counts {
		want(m.fixture, m.fixture.waiting(m.recipient, esh3ar.Priority(lane), 1000, 1000), count, fmt.Sprintf("count of lane %d", lane))
	}
}
