package ingest_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
)

// poisoned is the content that the store never takes.
const poisoned = "poison"

// mood is how the store is.
type mood int

const (
	fine    mood = iota
	slow         // it answers after a while
	away         // it refuses at once
	hanging      // it says nothing until the caller gives up; it may commit, or commit later
	flaky        // it cuts the connection; it may have committed
	moods
)

// troubled is the store of the simulation, in memory and beyond the node's power cuts.
type troubled struct {
	w  *world
	mu sync.Mutex

	mood         mood
	inbox        map[esh3ar.Recipient][]esh3ar.MessageID // by seq
	times        map[esh3ar.MessageID]int                // stored, canceled ones too
	canceled     map[esh3ar.MessageID]bool
	aside        map[esh3ar.MessageID]bool // what the node has in quarantine at the end
	poisonedCall map[esh3ar.MessageID]bool // messages of calls that the store never takes
	keys         map[string]keyRow
}

type keyRow struct {
	fingerprint [32]byte
	receipts    []esh3ar.Receipt
}

func newTroubled(w *world) *troubled {
	return &troubled{
		w: w, inbox: map[esh3ar.Recipient][]esh3ar.MessageID{}, times: map[esh3ar.MessageID]int{}, canceled: map[esh3ar.MessageID]bool{},
		aside: map[esh3ar.MessageID]bool{}, poisonedCall: map[esh3ar.MessageID]bool{}, keys: map[string]keyRow{},
	}
}

func (s *troubled) set(m mood) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mood = m
}

// weather changes the mood; another node takes a key now and then, while the store is there.
func (s *troubled) weather(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-time.After(time.Duration(100+s.w.draw(2500)) * time.Millisecond):
		}
		s.set(mood(s.w.draw(int(moods))))
		if s.w.draw(2) == 0 {
			s.set(fine)
		}
		s.mu.Lock()
		key := fmt.Sprint("contested-", s.w.draw(40))
		if _, taken := s.keys[key]; !taken && s.w.draw(2) == 0 {
			s.keys[key] = keyRow{receipts: []esh3ar.Receipt{{ID: esh3ar.NewMessageID(), Seq: 1}}}
		}
		s.mu.Unlock()
	}
}

// link is the way of one life of the node to the store.
type link struct {
	to   *troubled
	life *life
}

func (l *link) Append(ctx context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	s := l.to
	s.mu.Lock()
	now := s.mood
	s.mu.Unlock()
	lag := time.Duration(1+s.w.draw(4)) * time.Millisecond
	if now == slow {
		lag = time.Duration(50+s.w.draw(200)) * time.Millisecond
	}
	select {
	case <-time.After(lag):
	case <-ctx.Done():
		return nil, esh3ar.Errorf(esh3ar.Abandoned, "before it was sent: %w", ctx.Err())
	}
	select {
	case <-l.life.over: // the power of the node was cut before this was sent
		return nil, esh3ar.Errorf(esh3ar.StoreUnavailable, "no power")
	default:
	}
	switch now {
	case away:
		return nil, esh3ar.Errorf(esh3ar.StoreUnavailable, "connection refused")
	case hanging:
		return s.hang(ctx, calls)
	case flaky:
		if s.w.draw(3) > 0 {
			if s.w.draw(2) == 0 {
				_, _ = s.commit(calls)
				s.count(&s.w.seen.UnknownCommits)
			}
			return nil, esh3ar.Errorf(esh3ar.OutcomeUnknown, "connection reset")
		}
	case fine, slow, moods:
	}
	return s.commit(calls)
}

func (s *troubled) count(n *int) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	*n++
}

// hang waits for the caller to give up. The batch may be committed, or will be: then it is as if the server had gone on with
// it alone.
func (s *troubled) hang(ctx context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	late := make([]*esh3ar.Call, len(calls))
	for i, c := range calls {
		one := *c
		one.Messages = nil
		for _, m := range c.Messages {
			copied := *m
			one.Messages = append(one.Messages, &copied)
		}
		late[i] = &one
	}
	<-ctx.Done()
	if s.w.draw(2) == 0 {
		delay := time.Duration(s.w.draw(2500)) * time.Millisecond
		time.AfterFunc(delay, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			if !slices.ContainsFunc(late, s.conflictsLocked) {
				_, _ = s.commitLocked(late)
				s.count(&s.w.seen.LateCommits)
			}
		})
	}
	return nil, esh3ar.Errorf(esh3ar.OutcomeUnknown, "no answer: %w", ctx.Err())
}

// conflictsLocked tells whether a row of the call is there already: a transaction that comes late fails as a whole then.
func (s *troubled) conflictsLocked(c *esh3ar.Call) bool {
	return slices.ContainsFunc(c.Messages, func(m *esh3ar.Message) bool { return s.times[m.ID] > 0 })
}

func (s *troubled) has(id esh3ar.MessageID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.times[id] > 0
}

func (s *troubled) commit(calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commitLocked(calls)
}

func (s *troubled) commitLocked(calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
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
		answers[i] = s.takeLocked(c)
	}
	return answers, nil
}

// takeLocked does with one call what the port says.
func (s *troubled) takeLocked(c *esh3ar.Call) (a esh3ar.Answer) {
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
		s.times[m.ID]++
		s.inbox[m.Recipient] = append(s.inbox[m.Recipient], m.ID)
		m.Seq = esh3ar.Seq(len(s.inbox[m.Recipient]))
		a.Receipts = append(a.Receipts, esh3ar.Receipt{ID: m.ID, Seq: m.Seq, Recipient: m.Recipient})
	}
	if c.Key != nil {
		s.keys[c.Key.Key] = keyRow{c.Key.Fingerprint, a.Receipts}
	}
	return a
}

func (s *troubled) cancelLocked(c *esh3ar.Call) esh3ar.Answer {
	a := esh3ar.Answer{Outcome: esh3ar.Duplicate}
	for _, m := range c.Messages {
		s.times[m.ID]++
		s.canceled[m.ID] = true
		a.Receipts = append(a.Receipts, esh3ar.Receipt{ID: m.ID, Recipient: m.Recipient, Status: esh3ar.Canceled})
	}
	return a
}
