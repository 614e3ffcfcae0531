package checker

import (
	"time"

	"github.com/esh3artech/esh3ar"
)

// ranks are those of the outward contract.
var ranks = map[string]int{
	"scheduled": 0, "queued": 1, "pending": 2, "sent": 3, "canceled": 4, "expired": 4, "failed": 4, "delivered": 5, "read": 6,
}

const deliveredRank = 5

// ends reports whether a status is final.
func ends(status string) bool { return ranks[status] >= 4 }

// createdAt returns the time part of an id, or zero if id is malformed.
func createdAt(id string) int64 {
	parsed, err := esh3ar.ParseMessageID(id)
	if err != nil {
		return 0
	}
	return parsed.CreatedAt().Time().UnixNano()
}

// maxVersions bounds the versions that a book stores. It is far above what a message can reach in a round.
const maxVersions = 10_000

// mark records an event, from a consumer or from the history. All sources must agree.
func (b *Book) mark(s *messageTrace, m Mark) {
	if m.Version < 1 || m.Version > maxVersions {
		b.reportBreach(s, "an event has version %d", m.Version)
		return
	}
	for len(s.marks) < m.Version {
		s.marks = append(s.marks, Mark{Version: len(s.marks) + 1})
	}
	known := &s.marks[m.Version-1]
	if known.Status == "" {
		*known = m
		return
	}
	if *known != m {
		b.reportBreach(s, "version %d is %q in life %d in one source and %q in life %d in another", m.Version, known.Status, known.Life, m.Status, m.Life)
	}
}

// history records the history of a message at rest. Versions must be 1, 2, 3 …
func (b *Book) history(s *messageTrace, e *Entry) {
	for i, m := range e.Events {
		if m.Version != i+1 {
			b.reportBreach(s, "the history has version %d at position %d", m.Version, i+1)
			return
		}
		b.mark(s, m)
		s.told = m.Version
	}
}

// grows checks that each change leads to a higher (life, rank), that the first is an initial status, and that a new life
// only follows a failed one.
func (b *Book) grows(s *messageTrace) {
	last := Mark{Life: 1, Status: "", Version: 0}
	for _, m := range s.marks[:s.told] {
		rank, known := ranks[m.Status]
		switch {
		case !known:
			b.reportBreach(s, "the history has the status %q", m.Status)
		case m.Version == 1 && (m.Life != 1 || m.Status != "queued" && m.Status != "scheduled"):
			b.reportBreach(s, "the history begins with %q in life %d", m.Status, m.Life)
		case m.Version > 1 && m.Life == last.Life && rank <= ranks[last.Status]:
			b.reportBreach(s, "the history goes from %q to %q", last.Status, m.Status)
		case m.Life != last.Life && (m.Life != last.Life+1 || last.Status != "failed" || m.Status != "queued"):
			b.reportBreach(s, "the history goes from %q in life %d to %q in life %d", last.Status, last.Life, m.Status, m.Life)
		}
		last = m
	}
	if last.Status != s.final.Status || last.Life != s.final.Life {
		b.reportBreach(s, "the message is %q in life %d and its history ends with %q in life %d", s.final.Status, s.final.Life, last.Status, last.Life)
	}
}

// patience is how much earlier than due the node's clock may expire or deliver a message.
const patience = int64(time.Second)

// caused checks that every event with an external cause has one.
func (b *Book) caused(s *messageTrace) {
	begins := s.dueAt(createdAt(s.final.ID)) // of the life
	for _, m := range s.marks[:s.told] {
		switch m.Status {
		case "queued":
			if m.Life == 1 && m.At < s.sendAt-margin {
				b.reportBreach(s, "entered its inbox %s, before its time", clock(m.At))
			}
			if m.Life > 1 {
				begins = m.At
			}
		case "expired":
			if s.ttl == 0 || m.At < begins+s.ttl-patience {
				b.reportBreach(s, "expired %s, before its time", clock(m.At))
			}
		case "canceled":
			if s.cancels == 0 {
				b.reportBreach(s, "canceled without a request")
			}
		case "failed":
			if m.Attempt < b.rules.Attempts {
				b.reportBreach(s, "failed after %d attempts of %d", m.Attempt, b.rules.Attempts)
			}
		case "delivered":
			if !s.acking[0] {
				b.reportBreach(s, "delivered without an acknowledgement")
			}
		case "read":
			if !s.acking[1] {
				b.reportBreach(s, "read without an acknowledgement of reading")
			}
		}
	}
	if s.final.Life-1 > s.replays+len(b.replayAlls) {
		b.reportBreach(s, "in life %d after %d replays by id and %d by filter", s.final.Life, s.replays, len(b.replayAlls))
	}
}
