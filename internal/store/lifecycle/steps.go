// Package lifecycle is the changing half of a stored message: the list of its status changes, from which its progress and its
// history are folded, and the one place where a change is decided. It is pure; store engines keep the rows.
//
// Concurrency: a Steps is one goroutine's.
package lifecycle

import "github.com/esh3artech/esh3ar"

// Step is one status change.
type Step struct {
	Life    esh3ar.Life
	Status  esh3ar.Status
	Attempt int
	At      esh3ar.Time
	Reason  string
}

// Steps is all that changes of a message. The first step, queued or scheduled at its creation, is never written: an append
// costs nothing for it.
type Steps struct {
	Attempts int // deliveries tried in the current life; repeats count here without a step
	List     []Step
}

// First is where every message begins.
func First(id esh3ar.MessageID, scheduled bool) Steps {
	first := Step{Life: 1, Status: esh3ar.Queued, At: id.CreatedAt()}
	if scheduled {
		first.Status = esh3ar.Scheduled
	}
	return Steps{List: []Step{first}}
}

// Last is the newest step.
func (s *Steps) Last() Step { return s.List[len(s.List)-1] }

// Stage is where the message stands.
func (s *Steps) Stage() esh3ar.Stage {
	return esh3ar.Stage{Life: s.Last().Life, Status: s.Last().Status}
}

// FailedAt is when its life failed, if that is where it stands; else zero.
func (s *Steps) FailedAt() esh3ar.Time {
	if last := s.Last(); last.Status == esh3ar.Failed {
		return last.At
	}
	return 0
}

// EndedBefore tells whether its life ended before a time.
func (s *Steps) EndedBefore(t esh3ar.Time) bool { return s.Last().Status.Ends() && s.Last().At < t }

// Allows tells whether the message stands where c wants it.
func (s *Steps) Allows(c *esh3ar.Change) bool {
	stage := s.Stage()
	return (c.Life == 0 || c.Life == stage.Life) && (c.Below == 0 || stage.Status.Rank() < c.Below.Rank())
}

// Apply changes the steps if every condition of c holds. It knows nothing of places: entering an inbox is the engine's.
func (s *Steps) Apply(c *esh3ar.Change) bool {
	if !s.Allows(c) {
		return false
	}
	stage := s.Stage()
	if c.To == esh3ar.Scheduled { // counts an attempt and nothing else
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

// Enter brings a scheduled message to its inbox.
func (s *Steps) Enter(at esh3ar.Time) {
	s.List = append(s.List, Step{Life: s.Stage().Life, Status: esh3ar.Queued, At: at})
}

// Replay begins the next life.
func (s *Steps) Replay(at esh3ar.Time) {
	s.Attempts = 0
	s.List = append(s.List, Step{Life: s.Stage().Life + 1, Status: esh3ar.Queued, At: at})
}

// Progress folds the steps.
func (s *Steps) Progress(scheduled esh3ar.Time) esh3ar.Progress {
	p := esh3ar.Progress{Version: uint32(len(s.List)), Attempts: s.Attempts, ScheduledAt: scheduled}
	for _, st := range s.List {
		if st.Life > p.Life { // a new life starts with a clean sheet
			p.SentAt, p.DeliveredAt, p.ReadAt, p.EndedAt, p.Reason = 0, 0, 0, 0, ""
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

// Check refuses changes that no status allows: they are a caller's bug.
func Check(changes []esh3ar.Change) error {
	for i := range changes {
		c := &changes[i]
		if c.To >= esh3ar.Statuses || c.Below >= esh3ar.Statuses || c.Attempt < 0 || c.Replay && c.To != esh3ar.Queued {
			return esh3ar.Errorf(esh3ar.Invalid, "change %d of %s: no such status or attempt", i, c.Message)
		}
	}
	return nil
}
