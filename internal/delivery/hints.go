package delivery

import (
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

// firstLife is the life of a message that was just stored.
const firstLife = 1

func storedHint(m *esh3ar.Message) presence.Hint {
	return presence.Hint{Kind: presence.Stored, Recipient: m.Recipient, Seq: m.Seq, Message: m, ID: m.ID, Life: firstLife}
}

func enqueuedHint(r esh3ar.Recipient, seq esh3ar.Seq, id esh3ar.MessageID, life esh3ar.Life) presence.Hint {
	return presence.Hint{Kind: presence.Stored, Recipient: r, Seq: seq, ID: id, Life: life}
}

func endedHint(r esh3ar.Recipient, ids []esh3ar.MessageID) presence.Hint {
	return presence.Hint{Kind: presence.Acknowledged, Recipient: r, IDs: ids}
}

func endedUnackedHints(r esh3ar.Recipient, lapsed []messageLife) []presence.Hint {
	hints := make([]presence.Hint, len(lapsed))
	for i, one := range lapsed {
		hints[i] = presence.Hint{Kind: presence.EndedUnacked, Recipient: r, ID: one.id, Life: one.life}
	}
	return hints
}

// eventOf returns the event for a hint of another node. It returns false for an unknown kind, as a later version may send.
func eventOf(h *presence.Hint, now time.Time) (event, bool) {
	switch h.Kind {
	case presence.Stored:
		ev := event{kind: hintEvent, seq: h.Seq, at: now}
		if m := h.Message; m != nil && m.Recipient == h.Recipient && m.Seq == h.Seq {
			ev.message = m // a message that is too large for a hint is read from the store
		}
		return ev, true
	case presence.Acknowledged:
		return event{kind: endedEvent, ids: h.IDs}, !faultinject.Is(faultinject.RemoteEndIgnored)
	case presence.EndedUnacked:
		return event{kind: endedUnackedEvent, lapsed: []messageLife{{h.ID, h.Life}}}, true
	}
	return event{}, false
}

// absentChange returns the change for a stored message whose recipient is connected to no node.
func absentChange(h *presence.Hint, now time.Time) esh3ar.Change {
	if h.Message != nil {
		return pendingChange(h.Message.ID, h.Recipient, firstLife, now)
	}
	return pendingChange(h.ID, h.Recipient, h.Life, now)
}
