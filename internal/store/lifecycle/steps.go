// Package lifecycle implements the state of a stored message: the list of its status changes, from which its progress and history
// are derived, and the single place that decides whether a change is legal. It is pure; the store engines store the rows.
//
// Concurrency: a Steps must not be used concurrently.
package lifecycle

import "github.com/esh3artech/esh3ar"

// Step is one status change.
type Step struct {
	Life    esh3ar.Life // generation of the message; a replay starts the next one
	Status  esh3ar.Status
	Attempt int // number of delivery attempts in this life so far
	At      esh3ar.Time
	Reason  string // why the life ended; empty for other statuses
}

// Steps is the changing part of a message. The first step, queued or scheduled at its creation, is derived from the message
// and never written, so an append writes no row of steps.
type Steps struct {
	Attempts int // delivery attempts in the current life; a retry counts here without a new step
	List     []Step
}

// First returns the steps of a new message.
func First(id esh3ar.MessageID, scheduled bool) Steps {
	first := Step{Life: 1, Status: esh3ar.Queued, At: id.CreatedAt()}
	if scheduled {
		first.Status = esh3ar.Scheduled
	}
	return Steps{List: []Step{first}}
}

// Last returns the newest step.
func (s *Steps) Last() Step { return s.List[len(s.List)-1] }

// Stage returns the current life and status.
func (s *Steps) Stage() esh3ar.Stage {
	return esh3ar.Stage{Life: s.Last().Life, Status: s.Last().Status}
}

// FailedAt returns the time at which the current life failed, or zero if it has not.
func (s *Steps) FailedAt() esh3ar.Time {
	if last := s.Last(); last.Status == esh3ar.Failed {
		return last.At
	}
	return 0
}

// EndedBefore reports whether the current life ended before t.
func (s *Steps) EndedBefore(t esh3ar.Time) bool { return s.Last().Status.Ends() && s.Last().At < t }

// Allows reports whether the message is in a state that c permits.
func (s *Steps) Allows(c *esh3ar.Change) bool {
	stage := s.Stage()
	return (c.Life == 0 || c.Life == stage.Life) && (c.Below == 0 || stage.Status.Rank() < c.Below.Rank())
}

// Apply applies c if all its conditions are met, and reports whether it did. Moving a message into its inbox is not covered:
// the store engines call Enter.
func (s *Steps) Apply(c *esh3ar.Change) bool {
	if !s.Allows(c) {
		return false
	}
	stage := s.Stage()
	if c.To == esh3ar.Scheduled { // only counts an attempt
		if c.Attempt == 0 || s.Attempts != c.Attempt-1 || stage.Status.Ends() {
			return false
		}
		s.Attempts = c.Attempt
		return true
	}
	if !stage.CanBecome(esh3ar.Stage{Life: stage.Life, Status: c.To}) {
		return false
	}
	s.Attempts = max(s.Attempts, c.Attempt)
	s.List = append(s.List, Step{Life: stage.Life, Status: c.To, Attempt: s.Attempts, At: c.At, Reason: c.Reason})
	return true
}

// Enqueue records that a scheduled message entered its inbox.
func (s *Steps) Enqueue(at esh3ar.Time) {
	s.List = append(s.List, Step{Life: s.Stage().Life, Status: esh3ar.Queued, At: at})
}

// Replay starts the next life, with no attempts.
func (s *Steps) Replay(at esh3ar.Time) {
	s.Attempts = 0
	s.List = append(s.List, Step{Life: s.Stage().Life + 1, Status: esh3ar.Queued, At: at})
}

// Progress derives the progress from the steps. scheduled is the send time of a scheduled message, else zero.
func (s *Steps) Progress(scheduled esh3ar.Time) esh3ar.Progress {
	p := esh3ar.Progress{Version: uint32(len(s.List)), Attempts: s.Attempts, ScheduledAt: scheduled}
	for _, st := range s.List {
		if st.Life > p.Life { // a new life starts without results
			p.SentAt = 0
			p.DeliveredAt = 0
			p.ReadAt = 0
			p.EndedAt = 0
			p.Reason = ""
		}
		p.Stage = esh3ar.Stage{Life: st.Life, Status: st.Status}
		switch st.Status {
		case esh3ar.Sent:
			p.SentAt = st.At
		case esh3ar.Canceled, esh3ar.Expired, esh3ar.Failed:
			p.EndedAt, p.Reason = st.At, st.Reason
		case esh3ar.Delivered:
			p.DeliveredAt = st.At
		case esh3ar.Read:
			p.ReadAt = st.At
			if p.DeliveredAt.IsZero() {
				p.DeliveredAt = st.At
			}
		case esh3ar.Scheduled, esh3ar.Queued, esh3ar.Pending:
		}
	}
	return p
}

// Check returns an error if a change is invalid for every message, which is a bug of the caller.
func Check(changes []esh3ar.Change) error {
	for i := range changes {
		c := &changes[i]
		if c.To >= esh3ar.Statuses || c.Below >= esh3ar.Statuses || c.Attempt < 0 || c.Replay && c.To != esh3ar.Queued {
			return esh3ar.Errorf(esh3ar.Invalid, "change %d of %s: invalid status or attempt", i, c.Message)
		}
	}
	return nil
}
