package httpapi

import (
	"net/http"
	"strconv"

	"github.com/esh3artech/esh3ar"
)

// sendBatch implements POST /v1/messages/batch. A batch is stored completely or not at all.
func (a *API) sendBatch(x *exchange) error {
	body, err := x.readBody(maxBatchBody)
	if err != nil {
		return err
	}
	call := &esh3ar.Call{Business: x.caller.Business, Level: x.limits.account.Plan().Level, Batch: esh3ar.NewBatchID()}
	if call.Key, err = x.idempotency(new(esh3ar.IdempotencyKey)); err != nil {
		return err
	}
	answer, known, err := x.storedAnswer(call.Key)
	if err != nil {
		return err
	}
	if known {
		err = a.applyOutcome(x, call, &answer)
	} else {
		answer, err = a.sendNewBatch(x, call, body)
	}
	if err != nil {
		return err
	}
	x.buffer = appendBatchAnswer(x.buffer[:0], &answer)
	return x.answer(http.StatusAccepted, x.buffer)
}

// sendNewBatch decodes and submits a batch without an idempotency key, or with one that has no stored answer.
func (a *API) sendNewBatch(x *exchange, call *esh3ar.Call, body []byte) (answer esh3ar.Answer, err error) {
	if call.Messages, err = x.readBatch(body); err != nil {
		return answer, err
	}
	if err := x.takeBatchQuota(call.Messages); err != nil {
		return answer, err
	}
	for _, m := range call.Messages {
		x.fillMessage(m)
	}
	if err := x.takeRecipientQuota(call.Messages); err != nil {
		return answer, err
	}
	return a.submit(x, call)
}

func appendBatchAnswer(dst []byte, answer *esh3ar.Answer) []byte {
	dst = append(append(append(dst, `{"batchId":"`...), answer.Batch.String()...), `","messages":[`...)
	for i := range answer.Receipts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendReceipt(dst, &answer.Receipts[i], answer.Spilled)
	}
	return append(dst, "]}"...)
}

// readBatch decodes {"messages":[…]}.
func (x *exchange) readBatch(body []byte) ([]*esh3ar.Message, error) {
	var list []*esh3ar.Message
	in := &x.in
	in.reset(body)
	in.now = esh3ar.TimeOf(x.start)
	messages := member{name: "messages", required: true, read: func(_ *input, at jsonPath) (err error) {
		list, err = in.batch(at)
		return err
	}}
	if err := in.flatObject(messages); err != nil {
		return nil, err
	}
	return list, nil
}

// batch decodes the array of messages. It counts messages beyond the maximum without decoding them.
func (in *messageInput) batch(at jsonPath) ([]*esh3ar.Message, error) {
	var list []*esh3ar.Message
	if in.peek() != '[' {
		return nil, in.wrongType(at, "an array of messages")
	}
	count := 0
	err := in.array(func(i int) error {
		count++
		if count > esh3ar.MaxBatch {
			return in.skipValue()
		}
		m := &esh3ar.Message{}
		list = append(list, m)
		return in.message(count, m)
	})
	in.nextItem()
	if count == 0 || count > esh3ar.MaxBatch {
		in.add(at, validationFailed, "must have 1 to "+strconv.Itoa(esh3ar.MaxBatch)+" messages, has "+strconv.Itoa(count))
	}
	return list, err
}
