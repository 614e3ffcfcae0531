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

// ends tells whether a status is one in which a message may stay.
func ends(status string) bool { return ranks[status] >= 4 }

// createdAt is the time part of an id; zero if it is none.
func createdAt(id string) int64 {
	parsed, err := esh3ar.ParseMessageID(id)
	if err != nil {
		return 0
	}
	return parsed.CreatedAt().Time().UnixNano()
}

// maxVersions is far above what a message can go through in a round: no nonsense makes the book large.
const maxVersions = 10_000

// mark notes an event, from a consumer or from the history. Whoever tells of it again must tell the same.
func (b *Book) mark(s *story, m Mark) {
	if m.Version < 1 || m.Version > maxVersions {
		b.breaks(s, "an event has version %d", m.Version)
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
		b.breaks(s, "version %d is %q in life %d for one and %q in life %d for another", m.Version, known.Status, known.Life, m.Status, m.Life)
	}
}

// history takes the events of a message at rest: 1, 2, 3 …
func (b *Book) history(s *story, e *Entry) {
	for i, m := range e.Events {
		if m.Version != i+1 {
			b.breaks(s, "the history has version %d in place %d", m.Version, i+1)
			return
		}
		b.mark(s, m)
		s.told = m.Version
	}
}

// grows: each change goes to a higher (life, rank), the first from the start, and a life begins only behind a failed one.
func (b *Book) grows(s *story) {
	last := Mark{Life: 1, Status: "", Version: 0}
	for _, m := range s.marks[:s.told] {
		rank, known := ranks[m.Status]
		switch {
		case !known:
			b.breaks(s, "the history has the status %q", m.Status)
		case m.Version == 1 && (m.Life != 1 || m.Status != "queued" && m.Status != "scheduled"):
			b.breaks(s, "the history begins with %q in life %d", m.Status, m.Life)
		case m.Version > 1 && m.Life == last.Life && rank <= ranks[last.Status]:
			b.breaks(s, "the history goes from %q to %q", last.Status, m.Status)
		case m.Life != last.Life && (m.Life != last.Life+1 || last.Status != "failed" || m.Status != "queued"):
			b.breaks(s, "the history goes from %q in life %d to %q in life %d", last.Status, last.Life, m.Status, m.Life)
		}
		last = m
	}
	if last.Status != s.final.Status || last.Life != s.final.Life {
		b.breaks(s, "the message is %q in life %d and its history ends with %q in life %d", s.final.Status, s.final.Life, last.Status, last.Life)
	}
}

// patience is how much earlier than its time the node's clock may see a message end.
const patience = int64(time.Second)

// caused: every event that somebody has to have given cause for, has its cause.
func (b *Book) caused(s *story) {
	begins := s.dueAt(createdAt(s.final.ID)) // of the life
	for _, m := range s.marks[:s.told] {
		switch m.Status {
		case "queued":
			if m.Life == 1 && m.At < s.sendAt-margin {
				b.breaks(s, "entered its inbox %s, before its time", clock(m.At))
			}
			if m.Life > 1 {
				begins = m.At
			}
		case "expired":
			if s.ttl == 0 || m.At < begins+s.ttl-patience {
				b.breaks(s, "expired %s, before its time", clock(m.At))
			}
		case "canceled":
			if s.cancels == 0 {
				b.breaks(s, "canceled, and nobody asked for it")
			}
		case "failed":
			if m.Attempt < b.rules.Attempts {
				b.breaks(s, "failed after %d attempts of %d", m.Attempt, b.rules.Attempts)
			}
		case "delivered":
			if !s.acking[0] {
				b.breaks(s, "delivered, and no phone acknowledged it")
			}
		case "read":
			if !s.acking[1] {
				b.breaks(s, "read, and no phone said so")
			}
		}
	}
	if s.final.Life-1 > s.replays+len(b.replayAlls) {
		b.breaks(s, "in life %d after %d replays of it and %d of all", s.final.Life, s.replays, len(b.replayAlls))
	}
}
