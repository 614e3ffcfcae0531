package httpapi

import (
	"net/http"
	"strconv"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/wire"
)

// sendCall holds a call, its one message, and header values of its response, so that the hot path makes one allocation for
// all of them.
type sendCall struct {
	call     esh3ar.Call
	message  esh3ar.Message
	messages [1]*esh3ar.Message
	key      esh3ar.IdempotencyKey
	location [1]string
	limit    [1]string
}

// sendMessage implements POST /v1/messages.
func (a *API) sendMessage(x *exchange) error {
	keyed := len(x.r.Header["Idempotency-Key"]) > 0 // the quota is then taken after the lookup of the key, which needs the body
	if !keyed {
		if err := x.takeQuota(1); err != nil {
			return err
		}
	}
	body, err := x.readBody(maxBody)
	if err != nil {
		return err
	}
	s := &sendCall{}
	s.messages[0] = &s.message
	s.call.Business = x.caller.Business
	s.call.Level = x.limits.account.Plan().Level
	s.call.Messages = s.messages[:]
	if s.call.Key, err = x.idempotency(&s.key); err != nil {
		return err
	}
	answer, known, err := x.storedAnswer(s.call.Key)
	if err != nil {
		return err
	}
	if known {
		err = a.applyOutcome(x, &s.call, &answer)
	} else {
		answer, err = a.sendNewMessage(x, s, body, keyed)
	}
	if err != nil {
		return err
	}
	receipt := &answer.Receipts[0]
	x.buffer = appendReceipt(x.buffer[:0], receipt, answer.Spilled)
	s.headers(x, receipt.ID)
	return x.answer(http.StatusAccepted, x.buffer)
}

// sendNewMessage decodes and submits a message without an idempotency key, or with one that has no stored answer.
func (a *API) sendNewMessage(x *exchange, s *sendCall, body []byte, keyed bool) (answer esh3ar.Answer, err error) {
	if keyed {
		if err := x.takeQuota(1); err != nil {
			return answer, err
		}
	}
	if err := x.readMessage(body, &s.message); err != nil {
		return answer, err
	}
	x.fillMessage(&s.message)
	if err := x.takeRecipientQuota(s.call.Messages); err != nil {
		return answer, err
	}
	return a.submit(x, &s.call)
}

// headers sets Location and the rate-limit headers. The values are parts of one string: one allocation.
func (s *sendCall) headers(x *exchange, id esh3ar.MessageID) {
	var room [128]byte
	text, _ := id.AppendText(append(room[:0], "/v1/messages/"...)) // MessageID.AppendText never fails
	path := len(text)
	all := string(x.limits.grant.AppendLimits(text))
	s.location[0], s.limit[0] = all[:path], all[path:]
	h := x.w.Header()
	h["Location"], h[policyHeader], h[limitHeader] = s.location[:], x.limits.account.Policy(), s.limit[:]
}

// submit commits a call through package ingest and applies its outcome.
func (a *API) submit(x *exchange, call *esh3ar.Call) (esh3ar.Answer, error) {
	answer, err := a.Intake.Submit(x.r.Context(), call)
	if err != nil {
		return answer, err
	}
	return answer, a.applyOutcome(x, call, &answer)
}

// applyOutcome sets the response header that a call's outcome requires, or returns the outcome's error.
func (a *API) applyOutcome(x *exchange, call *esh3ar.Call, answer *esh3ar.Answer) error {
	switch answer.Outcome {
	case esh3ar.Mismatched:
		return mismatch.problem("a key identifies one call for 24 hours; use a new key for another call")
	case esh3ar.Replayed:
		x.w.Header()["Idempotent-Replayed"] = replayed
	case esh3ar.Stored:
		x.limits.accepted = len(call.Messages)
	case esh3ar.Duplicate: // never returned to a caller
	}
	return nil
}

// readMessage decodes a body that is one message into m.
func (x *exchange) readMessage(body []byte, m *esh3ar.Message) error {
	x.in.reset(body)
	x.in.now = esh3ar.TimeOf(x.start)
	return x.in.finish(x.in.message(0, m))
}

// fillMessage sets id, business, sender and expiry of a decoded message. The id contains the time of creation, which
// decides whether sendAt is in the future.
func (x *exchange) fillMessage(m *esh3ar.Message) {
	m.ID = esh3ar.NewMessageID()
	m.Business = x.caller.Business
	m.From = x.caller.Name
	due := m.CreatedAt()
	if m.SendAt > due {
		due = m.SendAt
	} else {
		m.SendAt = 0 // not in the future: send immediately
	}
	if m.TTL > 0 {
		m.ExpiresAt = due.Add(m.TTL)
	}
}

// appendReceipt appends the JSON of a receipt. It does not use wire.Object, whose interface values would each be allocated.
func appendReceipt(dst []byte, r *esh3ar.Receipt, spilled bool) []byte {
	dst, _ = r.ID.AppendText(append(dst, `{"id":"`...)) // the AppendText methods of package esh3ar never fail
	dst = append(append(dst, `","status":"`...), r.Status.String()...)
	dst = append(dst, '"')
	if r.Seq != 0 {
		dst = strconv.AppendUint(append(dst, `,"seq":`...), uint64(r.Seq), 10)
	}
	dst, _ = r.Recipient.AppendText(append(dst, `,"recipientPhoneNumber":"`...))
	dst, _ = r.ID.CreatedAt().AppendText(append(dst, `","createdAt":"`...))
	dst = append(dst, '"')
	if r.CorrelationID != "" {
		dst = wire.AppendString(append(dst, `,"correlationId":`...), r.CorrelationID)
	}
	if spilled {
		return append(dst, `,"durability":"spilled"}`...)
	}
	return append(dst, `,"durability":"stored"}`...)
}
