package httpapi

import (
	"net/http"
	"strconv"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/wire"
)

// sending is a call with its one message, and the header of its answer, in one allocation: the hot path.
type sending struct {
	call     esh3ar.Call
	message  esh3ar.Message
	messages [1]*esh3ar.Message
	key      esh3ar.IdempotencyKey
	location [1]string
	limit    [1]string
}

// send is POST /v1/messages.
func (a *API) send(x *exchange) error {
	keyed := len(x.r.Header["Idempotency-Key"]) > 0 // its key is looked up first, which takes the body
	if !keyed {
		if err := x.take(1); err != nil {
			return err
		}
	}
	body, err := x.readBody(maxBody)
	if err != nil {
		return err
	}
	s := &sending{}
	s.messages[0] = &s.message
	s.call.Business, s.call.Level, s.call.Messages = x.caller.Business, x.limits.account.Plan().Level, s.messages[:]
	if s.call.Key, err = x.idempotency(&s.key); err != nil {
		return err
	}
	answer, known, err := x.replay(s.call.Key)
	if err != nil {
		return err
	}
	if known {
		err = a.outcome(x, &s.call, &answer)
	} else {
		answer, err = a.sendNew(x, s, body, keyed)
	}
	if err != nil {
		return err
	}
	receipt := &answer.Receipts[0]
	x.buffer = appendReceipt(x.buffer[:0], receipt, answer.Spilled)
	s.headers(x, receipt.ID)
	return x.answer(http.StatusAccepted, x.buffer)
}

// sendNew takes a message whose key, if it has one, is not known.
func (a *API) sendNew(x *exchange, s *sending, body []byte, keyed bool) (answer esh3ar.Answer, err error) {
	if keyed {
		if err := x.take(1); err != nil {
			return answer, err
		}
	}
	if err := x.readMessage(body, &s.message); err != nil {
		return answer, err
	}
	x.complete(&s.message)
	if err := x.takeRecipients(s.call.Messages); err != nil {
		return answer, err
	}
	return a.submit(x, &s.call)
}

// headers sets what is said of a message and of what may follow it. All of it is one string, and one allocation.
func (s *sending) headers(x *exchange, id esh3ar.MessageID) {
	var room [128]byte
	text, _ := id.AppendText(append(room[:0], "/v1/messages/"...)) // never fails
	path := len(text)
	all := string(x.limits.grant.AppendLimits(text))
	s.location[0], s.limit[0] = all[:path], all[path:]
	h := x.w.Header()
	h["Location"], h[policyHeader], h[limitHeader] = s.location[:], x.limits.account.Policy(), s.limit[:]
}

// submit takes a call through intake.
func (a *API) submit(x *exchange, call *esh3ar.Call) (esh3ar.Answer, error) {
	answer, err := a.Intake.Submit(x.r.Context(), call)
	if err != nil {
		return answer, err
	}
	return answer, a.outcome(x, call, &answer)
}

// outcome says in the answer's headers, or as an error, what became of a call.
func (a *API) outcome(x *exchange, call *esh3ar.Call, answer *esh3ar.Answer) error {
	switch answer.Outcome {
	case esh3ar.Mismatched:
		return mismatch.problem("a key names one call for 24 hours; use a new key for another call")
	case esh3ar.Replayed:
		x.w.Header()["Idempotent-Replayed"] = replayed
	case esh3ar.Stored:
		x.limits.accepted = len(call.Messages)
	case esh3ar.Duplicate: // answers no caller
	}
	return nil
}

// readMessage decodes a body that is one message.
func (x *exchange) readMessage(body []byte, m *esh3ar.Message) error {
	x.in.reset(body)
	x.in.now = esh3ar.TimeOf(x.start)
	return x.in.last(x.in.message(0, m))
}

// complete adds what the caller does not say. Its id says when a message was made, so it is the id that decides what is
// still to come.
func (x *exchange) complete(m *esh3ar.Message) {
	m.ID, m.Business, m.From = esh3ar.NewMessageID(), x.caller.Business, x.caller.Name
	due := m.CreatedAt()
	if m.SendAt > due {
		due = m.SendAt
	} else {
		m.SendAt = 0 // past or now: at once
	}
	if m.TTL > 0 {
		m.ExpiresAt = due.Add(m.TTL)
	}
}

// appendReceipt is written out, unlike other answers: through an interface each value would be an allocation.
func appendReceipt(dst []byte, r *esh3ar.Receipt, spilled bool) []byte {
	dst, _ = r.ID.AppendText(append(dst, `{"id":"`...)) // the vocabulary's never fail
	dst = append(append(dst, `","status":"`...), r.Status.String()...)
	if dst = append(dst, '"'); r.Seq != 0 {
		dst = strconv.AppendUint(append(dst, `,"seq":`...), uint64(r.Seq), 10)
	}
	dst, _ = r.Recipient.AppendText(append(dst, `,"recipientPhoneNumber":"`...))
	dst, _ = r.ID.CreatedAt().AppendText(append(dst, `","createdAt":"`...))
	if dst = append(dst, '"'); r.CorrelationID != "" {
		dst = wire.AppendString(append(dst, `,"correlationId":`...), r.CorrelationID)
	}
	if spilled {
		return append(dst, `,"durability":"spilled"}`...)
	}
	return append(dst, `,"durability":"stored"}`...)
}
