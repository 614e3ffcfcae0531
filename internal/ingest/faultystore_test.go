package ingest_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
)

// poisoned is the content of a message that the store never takes.
const poisoned = "poison"

// condition is how the store behaves now.
type condition int

const (
	healthy    condition = iota
	slow                 // answers late
	away                 // refuses at once
	hanging              // does not answer; may commit, even later
	flaky                // cuts the connection; may have committed
	conditions           // number of conditions
)

// faultyStore is the store of the simulation. It is in memory and survives the power cuts of the node.
type faultyStore struct {
	sim *simulation
	mu  sync.Mutex

	condition    condition
	inbox        map[esh3ar.Recipient][]esh3ar.MessageID // messages by seq
	stored       map[esh3ar.MessageID]int                // how often each message was stored, also if canceled
	canceled     map[esh3ar.MessageID]bool
	quarantined  map[esh3ar.MessageID]bool // in the quarantine of the node at the end
	poisonedCall map[esh3ar.MessageID]bool // messages of calls that the store never takes
	keys         map[string]keyRow
}

type keyRow struct {
	fingerprint [32]byte
	receipts    []esh3ar.Receipt
}

func newFaultyStore(sim *simulation) *faultyStore {
	return &faultyStore{
		sim: sim, inbox: map[esh3ar.Recipient][]esh3ar.MessageID{}, stored: map[esh3ar.MessageID]int{}, canceled: map[esh3ar.MessageID]bool{},
		quarantined: map[esh3ar.MessageID]bool{}, poisonedCall: map[esh3ar.MessageID]bool{}, keys: map[string]keyRow{},
	}
}

func (s *faultyStore) set(c condition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.condition = c
}

// changeConditions changes the condition until done is closed. Now and then another node takes an idempotency key.
func (s *faultyStore) changeConditions(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(time.Duration(100+s.sim.intn(2500)) * time.Millisecond):
		}
		s.set(condition(s.sim.intn(int(conditions))))
		if s.sim.intn(2) == 0 {
			s.set(healthy)
		}
		s.mu.Lock()
		key := fmt.Sprint("contested-", s.sim.intn(40))
		if _, taken := s.keys[key]; !taken && s.sim.intn(2) == 0 {
			s.keys[key] = keyRow{receipts: []esh3ar.Receipt{{ID: esh3ar.NewMessageID(), Seq: 1}}}
		}
		s.mu.Unlock()
	}
}

// storeLink connects one run of the node to the store.
type storeLink struct {
	store *faultyStore
	run   *nodeRun
}

func (l *storeLink) Append(ctx context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	s := l.store
	s.mu.Lock()
	now := s.condition
	s.mu.Unlock()
	delay := time.Duration(1+s.sim.intn(4)) * time.Millisecond
	if now == slow {
		delay = time.Duration(50+s.sim.intn(200)) * time.Millisecond
	}
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return nil, esh3ar.Errorf(esh3ar.Abandoned, "before it was sent: %w", ctx.Err())
	}
	select {
	case <-l.run.powerCut: // before this was sent
		return nil, esh3ar.Errorf(esh3ar.StoreUnavailable, "no power")
	default:
	}
	switch now {
	case away:
		return nil, esh3ar.Errorf(esh3ar.StoreUnavailable, "connection refused")
	case hanging:
		return s.hang(ctx, calls)
	case flaky:
		if s.sim.intn(3) > 0 {
			if s.sim.intn(2) == 0 {
				_, _ = s.commit(calls)
				s.count(&s.sim.seen.UnknownCommits)
			}
			return nil, esh3ar.Errorf(esh3ar.OutcomeUnknown, "connection reset")
		}
	case healthy, slow, conditions:
	}
	return s.commit(calls)
}

func (s *faultyStore) count(n *int) {
	s.sim.mu.Lock()
	defer s.sim.mu.Unlock()
	*n++
}

// hang waits until the caller gives up. The batch may be committed some time later, as if the server had continued without its client.
func (s *faultyStore) hang(ctx context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	late := make([]*esh3ar.Call, len(calls))
	for i, c := range calls {
		callCopy := *c
		callCopy.Messages = nil
		for _, m := range c.Messages {
			messageCopy := *m
			callCopy.Messages = append(callCopy.Messages, &messageCopy)
		}
		late[i] = &callCopy
	}
	<-ctx.Done()
	if s.sim.intn(2) == 0 {
		delay := time.Duration(s.sim.intn(2500)) * time.Millisecond
		time.AfterFunc(delay, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if !slices.ContainsFunc(late, s.conflictsLocked) {
				_, _ = s.commitLocked(late)
				s.count(&s.sim.seen.LateCommits)
			}
		})
	}
	return nil, esh3ar.Errorf(esh3ar.OutcomeUnknown, "no answer: %w", ctx.Err())
}

// conflictsLocked reports whether a message of the call is stored already. A late transaction fails as a whole then.
func (s *faultyStore) conflictsLocked(c *esh3ar.Call) bool {
	return slices.ContainsFunc(c.Messages, func(m *esh3ar.Message) bool { return s.stored[m.ID] > 0 })
}

func (s *faultyStore) has(id esh3ar.MessageID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stored[id] > 0
}

func (s *faultyStore) commit(calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commitLocked(calls)
}

func (s *faultyStore) commitLocked(calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	bad := false
	for _, c := range calls {
		if slices.ContainsFunc(c.Messages, func(m *esh3ar.Message) bool { return m.Content == poisoned }) {
			bad = true
			for _, m := range c.Messages {
				s.poisonedCall[m.ID] = true
			}
		}
	}
	if bad {
		return nil, esh3ar.Errorf(esh3ar.Invalid, "it cannot be stored")
	}
	answers := make([]esh3ar.Answer, len(calls))
	for i, c := range calls {
		answers[i] = s.storeLocked(c)
	}
	return answers, nil
}

// storeLocked stores one call as the store interface demands.
func (s *faultyStore) storeLocked(c *esh3ar.Call) esh3ar.Answer {
	var a esh3ar.Answer
	if s.conflictsLocked(c) {
		a.Outcome = esh3ar.Replayed
		for _, m := range c.Messages {
			a.Receipts = append(a.Receipts, esh3ar.Receipt{ID: m.ID, Recipient: m.Recipient})
		}
		return a
	}
	if c.Key != nil {
		if row, known := s.keys[c.Key.Key]; known {
			if c.Drained {
				return s.cancelLocked(c)
			}
			if row.fingerprint != c.Key.Fingerprint {
				return esh3ar.Answer{Outcome: esh3ar.Mismatched}
			}
			return esh3ar.Answer{Outcome: esh3ar.Replayed, Receipts: row.receipts}
		}
	}
	for _, m := range c.Messages {
		s.stored[m.ID]++
		s.inbox[m.Recipient] = append(s.inbox[m.Recipient], m.ID)
		m.Seq = esh3ar.Seq(len(s.inbox[m.Recipient]))
		a.Receipts = append(a.Receipts, esh3ar.Receipt{ID: m.ID, Seq: m.Seq, Recipient: m.Recipient})
	}
	if c.Key != nil {
		s.keys[c.Key.Key] = keyRow{c.Key.Fingerprint, a.Receipts}
	}
	return a
}

func (s *faultyStore) cancelLocked(c *esh3ar.Call) esh3ar.Answer {
	a := esh3ar.Answer{Outcome: esh3ar.Duplicate}
	for _, m := range c.Messages {
		s.stored[m.ID]++
		s.canceled[m.ID] = true
		a.Receipts = append(a.Receipts, esh3ar.Receipt{ID: m.ID, Recipient: m.Recipient, Status: esh3ar.Canceled})
	}
	return a
}
