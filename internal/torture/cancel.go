package torture

import (
	"net/http"

	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

// remembered bounds the accepted messages that a sender may still cancel. The oldest is dropped first.
const remembered = 32

// remember stores accepted messages and cancels some of them at once. Scheduled messages are canceled at once more
// often: later they are likely to be due already.
func (s *sender) remember(list []sent) {
	for _, m := range list {
		chance := 3
		if m.later {
			chance = 25
		}
		if s.random.IntN(100) < chance {
			s.cancel(m.id)
		}
		if s.recent = append(s.recent, m); len(s.recent) > remembered {
			s.recent = s.recent[1:]
		}
	}
}

// cancelSome cancels a remembered message in 3 of 100 calls.
func (s *sender) cancelSome() {
	if len(s.recent) > 0 && s.random.IntN(100) < 3 {
		s.cancel(s.recent[s.random.IntN(len(s.recent))].id)
	}
}

// cancel calls once. If there is no answer, the checker accepts both outcomes.
func (s *sender) cancel(id string) {
	s.note(checker.Entry{Kind: checker.Canceling, ID: id})
	a, err := s.do(s.whole, s.client, request{method: http.MethodDelete, path: "/v1/messages/" + id})
	if err != nil {
		return
	}
	e := checker.Entry{ID: id, Began: a.began, At: a.at}
	switch a.status {
	case http.StatusOK:
		e.Kind = checker.Canceled
	case http.StatusConflict:
		e.Kind = checker.Uncancelable
	case http.StatusNotFound:
		e.Kind = checker.Absent
	default:
		return // the node could not decide; no outcome is recorded
	}
	s.note(e)
}
