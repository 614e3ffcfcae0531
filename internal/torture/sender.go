package torture

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

// sender is a business that sends messages.
type sender struct {
	*round
	random *rand.Rand
	client *http.Client
	recent []sent // recently accepted messages; some are canceled
}

// sent is an accepted message.
type sent struct {
	id    string
	later bool // whether it was scheduled
}

// send makes calls until ctx ends: single messages and batches, with and without a key, and concurrent duplicates.
func (r *round) send(ctx context.Context, random *rand.Rand) {
	s := &sender{round: r, random: random, client: newClient()}
	defer s.client.CloseIdleConnections()
	for ctx.Err() == nil {
		switch draw := random.IntN(100); {
		case draw < 8:
			s.sendConcurrentDuplicates()
		case draw < 18:
			s.remember(s.sendUntilAnswered(s.newCall(keyed, true, s.drawn(2+random.IntN(4))...)))
		case draw < 70:
			s.remember(s.sendUntilAnswered(s.newCall(keyed, false, s.drawn(1)...)))
		default:
			s.remember(s.sendUntilAnswered(s.newCall(keyless, false, s.drawn(1)...)))
		}
		s.cancelSome()
		if sleep(ctx, between(random, 0, 16*time.Millisecond)) != nil {
			return
		}
	}
}

func (s *sender) drawn(n int) []message {
	list := make([]message, n)
	for i := range list {
		list[i] = s.draw(s.random)
	}
	return list
}

// sendUntilAnswered makes a call and returns the accepted messages. A call with a key is retried until there is an
// answer.
func (s *sender) sendUntilAnswered(c *call) []sent {
	for {
		a, err := s.do(s.whole, s.client, s.attempt(c))
		switch {
		case err != nil || a.status == http.StatusBadGateway:
			s.noteAll(c, checker.Unknown, &a)
		case a.status == http.StatusAccepted:
			return s.accepted(c, &a)
		case a.status == http.StatusUnprocessableEntity && a.problem() == "idempotency_mismatch":
			s.noteAll(c, checker.Mismatched, &a)
			return nil
		default:
			s.noteAll(c, checker.Refused, &a)
			if a.status != http.StatusServiceUnavailable && a.status != http.StatusTooManyRequests {
				return nil
			}
			if sleep(s.whole, 50*time.Millisecond) != nil {
				return nil
			}
		}
		if c.key == "" || s.whole.Err() != nil {
			return nil // a call without a key is not idempotent
		}
	}
}

// attempt returns one try of a call: at a random node, with the timeout of a typical business. After a timeout the call
// is retried at another node while the first node, perhaps paused, still holds it.
func (s *sender) attempt(c *call) request {
	q := c.request()
	q.node, q.within = s.fleet.randomNode(s.whole, s.random), between(s.random, time.Second, 5*time.Second)
	return q
}

func (s *sender) noteAll(c *call, kind checker.Kind, a *answer) {
	for _, m := range c.messages {
		s.note(checker.Entry{
			Kind: kind, Number: m.number, Call: c.number, Key: c.key, Status: strconv.Itoa(a.status), Node: a.node, Began: a.began, At: a.at,
		})
	}
}

// receipt is one message of an answer.
type receipt struct {
	ID         string `json:"id"`
	Seq        uint64 `json:"seq"`
	Recipient  string `json:"recipientPhoneNumber"`
	Durability string `json:"durability"`
}

// accepted records each receipt. A missing receipt is recorded with an empty id.
func (s *sender) accepted(c *call, a *answer) (list []sent) {
	receipts := make([]receipt, 1)
	var err error
	if c.batch {
		var body struct{ Messages []receipt }
		err = json.Unmarshal(a.body, &body)
		receipts = body.Messages
	} else {
		err = json.Unmarshal(a.body, &receipts[0])
	}
	for i, m := range c.messages {
		e := checker.Entry{Kind: checker.Accepted, Number: m.number, Call: c.number, Key: c.key, Node: a.node, Began: a.began, At: a.at}
		if err == nil && i < len(receipts) {
			e.ID, e.Seq, e.To = receipts[i].ID, receipts[i].Seq, numberOf(receipts[i].Recipient)
			e.Spilled = receipts[i].Durability == "spilled"
			list = append(list, sent{e.ID, m.sendAt != 0})
		}
		s.note(e)
	}
	return list
}
