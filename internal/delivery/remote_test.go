package delivery

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
)

// TestRemote_SingleNode_StartsNothing: a single node pays no allocations for the code of clusters.
func TestRemote_SingleNode_StartsNothing(t *testing.T) { //nolint:paralleltest // it counts allocations
	e := New(nil, Options{})
	here := &esh3ar.Message{Recipient: 5, Seq: 1}
	gone := &esh3ar.Message{Recipient: 7, Seq: 1}
	e.Connect(Device{Recipient: here.Recipient}, full{})
	for _, c := range []struct {
		name string
		most float64
		do   func()
	}{
		{"publish to a session", 1, func() { e.Publish([]*esh3ar.Message{here}) }}, // the list
		{"publish to nobody", 2, func() { e.Publish([]*esh3ar.Message{gone}) }},    // and the change
		{"tell nobody", 0, func() { e.notifyAcknowledged(gone.Recipient, nil, nil) }},
		{"enter for a session", 0, func() { e.NotifyEnqueued(here.Recipient, 1, here.ID, 1) }},
	} {
		if got := testing.AllocsPerRun(1000, c.do); got > c.most {
			t.Errorf("%s: %.1f allocations, want at most %.1f", c.name, got, c.most)
		}
	}
}

// full is a connection that refuses every push.
type full struct{}

func (full) Push(Batch) bool     { return false }
func (full) Refresh()            {}
func (full) LastReceived() int64 { return 0 }

func (full) Probe(func()) {}

// TestSession_TooManyEvents_DropsHintsOnly: the queue of a session is bounded and keeps the events that must not be lost.
func TestSession_TooManyEvents_DropsHintsOnly(t *testing.T) {
	t.Parallel()
	e := New(nil, Options{Remote: &heard{}})
	s := e.Connect(Device{Recipient: 5}, full{})
	for i := range 10 * maxEvents {
		e.LocalEndpoint().HandleHints([]presence.Hint{
			{Kind: presence.Acknowledged, Recipient: 5, IDs: make([]esh3ar.MessageID, 1)},
			{Kind: presence.EndedUnacked, Recipient: 5},
			{Kind: presence.Stored, Recipient: 5, Seq: esh3ar.Seq(i + 1)},
		})
	}
	events, missed, _ := s.take(nil)
	if len(events) > maxEvents || missed != 10*maxEvents {
		t.Errorf("%d events wait, missed up to %d", len(events), missed)
	}
}

// TestRemote_Hints_MatchEvents compares every hint that an engine sends with its cause.
func TestRemote_Hints_MatchEvents(t *testing.T) {
	t.Parallel()
	r := &heard{}
	e := New(nil, Options{Remote: r})
	m := &esh3ar.Message{ID: esh3ar.NewMessageID(), Recipient: 5, Seq: 3}
	s := e.Connect(Device{Recipient: 5}, full{})
	e.Connect(Device{Recipient: 5}, full{}).Close(true)
	e.Publish([]*esh3ar.Message{{Recipient: 5}, m}) // the first is not due
	e.NotifyEnqueued(5, 4, m.ID, 2)
	e.NotifyEndedUnacked(5, m.ID, 2)
	e.notifyAcknowledged(5, s, []esh3ar.MessageID{m.ID})
	s.Close(true)
	want := []presence.Hint{
		{Kind: presence.Stored, Recipient: 5, Seq: 3, Message: m, ID: m.ID, Life: 1},
		{Kind: presence.Stored, Recipient: 5, Seq: 4, ID: m.ID, Life: 2},
		{Kind: presence.EndedUnacked, Recipient: 5, ID: m.ID, Life: 2},
		{Kind: presence.Acknowledged, Recipient: 5, IDs: []esh3ar.MessageID{m.ID}},
	}
	same := func(a, b presence.Hint) bool {
		return slices.Equal(a.IDs, b.IDs) && a.Kind == b.Kind && a.Recipient == b.Recipient && a.Seq == b.Seq &&
			a.Message == b.Message && a.ID == b.ID && a.Life == b.Life && a.Hops == b.Hops
	}
	if !slices.EqualFunc(r.hints, want, same) {
		t.Errorf("told %+v\nwant %+v", r.hints, want)
	}
	if r.changed != 2 {
		t.Errorf("presence changed %d times, want when the first session came and the last went", r.changed)
	}
	for _, r.drops = range []bool{false, true} {
		e.missedStatuses.at.Store(0)
		e.notifyRemote(want)
		if noted := e.missedStatuses.at.Load() != 0; noted != r.drops {
			t.Errorf("dropped: %t, and the stale walk comes: %t", r.drops, noted)
		}
	}
}

// heard is a Remote that records its calls.
type heard struct {
	hints   []presence.Hint
	changed int
	drops   bool
}

func (h *heard) Enqueue(hints []presence.Hint) bool {
	h.hints = append(h.hints, hints...)
	return !h.drops
}

func (h *heard) Changed(esh3ar.Recipient) { h.changed++ }

func (h *heard) Connected(context.Context, []esh3ar.Recipient) ([]bool, error) { return nil, nil }

// TestSession_WrongHint_IsChecked: the message of a hint must match the hint, and unknown kinds are ignored.
func TestSession_WrongHint_IsChecked(t *testing.T) {
	t.Parallel()
	m := &esh3ar.Message{Recipient: 5, Seq: 3}
	for _, c := range []struct {
		name  string
		hint  presence.Hint
		known bool
		whole bool
	}{
		{"whole", presence.Hint{Kind: presence.Stored, Recipient: 5, Seq: 3, Message: m}, true, true},
		{"without its message", presence.Hint{Kind: presence.Stored, Recipient: 5, Seq: 3}, true, false},
		{"with another's message", presence.Hint{Kind: presence.Stored, Recipient: 6, Seq: 3, Message: m}, true, false},
		{"with another number", presence.Hint{Kind: presence.Stored, Recipient: 5, Seq: 4, Message: m}, true, false},
		{"of a later version", presence.Hint{Kind: 9, Recipient: 5, Seq: 4, Message: m}, false, false},
	} {
		ev, known := eventOf(&c.hint, time.UnixMilli(1))
		if known != c.known || (ev.message != nil) != c.whole || known && ev.seq != c.hint.Seq {
			t.Errorf("%s: %+v, known %t", c.name, ev, known)
		}
	}
}
