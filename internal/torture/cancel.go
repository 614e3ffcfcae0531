package torture

import (
	"net/http"

	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

// remembered bounds what a sender may still cancel; the oldest is forgotten.
const remembered = 32

// accepts remembers messages, and cancels some of them at once: most of the scheduled ones that it cancels at all, since
// what is due is mostly on its way by then.
func (s *sender) accepts(list []sent) {
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

// cancelSome now and then cancels one of the remembered messages.
func (s *sender) cancelSome() {
	if len(s.recent) > 0 && s.random.IntN(100) < 3 {
		s.cancel(s.recent[s.random.IntN(len(s.recent))].id)
	}
}

// cancel calls once. Without an answer it may have happened or not, and either is right.
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
		return // for now it cannot say
	}
	s.note(e)
}
