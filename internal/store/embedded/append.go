package embedded

import (
	"context"
	"encoding/binary"
	"slices"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// Append implements esh3ar.Appender.
func (s *Store) Append(ctx context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	if err := s.fault.Err(); err != nil {
		return nil, esh3ar.Errorf(esh3ar.StoreUnavailable, "append: %w", err)
	}
	size, err := checkCalls(calls)
	if err != nil {
		return nil, err
	}
	if err := s.gauge.Check(size); err != nil {
		return nil, err
	}
	answers := make([]esh3ar.Answer, len(calls))
	r := newRequest(size, func(st *stagedBatch) error {
		for i, call := range calls {
			answer, err := st.appendCall(call)
			if err != nil {
				return err
			}
			answers[i] = answer
		}
		return nil
	})
	if err := s.submit(ctx, r); err != nil {
		return nil, err
	}
	// Set only after the commit: a message of a rejected call must not carry a seq.
	for i, call := range calls {
		if answers[i].Outcome != esh3ar.Stored {
			continue
		}
		for j, m := range call.Messages {
			m.Seq = answers[i].Receipts[j].Seq
		}
	}
	return answers, nil
}

// checkCalls returns the total size of the calls. It rejects invalid calls here, because an error in the committer would
// fail the whole batch.
func checkCalls(calls []*esh3ar.Call) (size int, err error) {
	for _, call := range calls {
		for _, m := range call.Messages {
			if m.ID.IsZero() || m.Recipient == 0 || m.Priority >= esh3ar.Priorities || m.Business != call.Business || m.SendAt < 0 || m.ExpiresAt < 0 {
				return 0, esh3ar.Errorf(esh3ar.Invalid, "message %s: no id, no recipient, no such priority or time, or not the call's business", m.ID)
			}
		}
		if call.Drained && hasDuplicateIDs(call) {
			return 0, esh3ar.Errorf(esh3ar.Invalid, "message %s: its id is in the call twice", call.Messages[0].ID)
		}
		size += call.Size()
	}
	return size, nil
}

// appendCall stages one call, unless its idempotency key is known. An error means that a read failed. The committer then
// fails the whole batch, so a call is never stored in part.
func (st *stagedBatch) appendCall(call *esh3ar.Call) (esh3ar.Answer, error) {
	var answer esh3ar.Answer
	var err error
	var scope idemScope
	var known *idemRow
	if call.Key != nil {
		scope = scopeOf(call.Business, call.Key.Key)
		if known, err = st.findKey(scope); err != nil {
			return esh3ar.Answer{}, st.fail(err)
		}
	}
	switch {
	case call.Drained:
		answer, err = st.appendDrained(call, scope, known)
	case known != nil:
		return answerFromKey(known, call.Key), nil
	default:
		answer, err = st.storeCall(call, scope)
	}
	if err != nil {
		return esh3ar.Answer{}, st.fail(err)
	}
	return answer, nil
}

// storeCall stages a new call, and its idempotency key under scope if it has one.
func (st *stagedBatch) storeCall(call *esh3ar.Call, scope idemScope) (esh3ar.Answer, error) {
	receipts := make([]esh3ar.Receipt, len(call.Messages))
	for i, m := range call.Messages {
		if faultinject.Is(faultinject.HalfABatch) && i > 0 && i == len(call.Messages)-1 {
			receipts[i] = esh3ar.Receipt{ID: m.ID, Seq: receipts[i-1].Seq, Recipient: m.Recipient, Status: esh3ar.Queued}
			break
		}
		seq, err := st.appendMessage(m)
		if err != nil {
			return esh3ar.Answer{}, err
		}
		receipts[i] = esh3ar.Receipt{ID: m.ID, Seq: seq, Status: esh3ar.Queued, Recipient: m.Recipient, CorrelationID: m.CorrelationID}
		if seq == 0 {
			receipts[i].Status = esh3ar.Scheduled
		}
	}
	if call.Key != nil {
		st.keys[scope] = &idemRow{fingerprint: call.Key.Fingerprint, expires: call.Key.ExpiresAt, batch: call.Batch, receipts: receipts}
	}
	return esh3ar.Answer{Outcome: esh3ar.Stored, Batch: call.Batch, Receipts: receipts}, nil
}

// answerFromKey returns the answer of the earlier call that used the same idempotency key.
func answerFromKey(known *idemRow, key *esh3ar.IdempotencyKey) esh3ar.Answer {
	if known.fingerprint != key.Fingerprint {
		return esh3ar.Answer{Outcome: esh3ar.Mismatched}
	}
	return esh3ar.Answer{Outcome: esh3ar.Replayed, Batch: known.batch, Receipts: slices.Clone(known.receipts)}
}

// appendMessage stages a message. A message with a future send time gets a task and no seq.
func (st *stagedBatch) appendMessage(m *esh3ar.Message) (seq esh3ar.Seq, err error) {
	if m.SendAt.IsZero() {
		if seq, err = st.nextSeq(m.Recipient); err != nil {
			return 0, err
		}
	} else if err := st.addTask(m.SendAt, esh3ar.EnqueueTask, 1, m); err != nil {
		return 0, err
	}
	if !m.ExpiresAt.IsZero() {
		if err := st.addTask(m.ExpiresAt, esh3ar.ExpireTask, 1, m); err != nil {
			return 0, err
		}
	}
	st.messages++
	where := locationOf(m)
	where.seq = seq
	if err := st.writeMessage(m, where); err != nil {
		return 0, err
	}
	if seq != 0 {
		st.key = appendUndelivered(st.key[:0], m.Recipient, m.Priority, seq)
		if err := st.set(st.key, nil); err != nil {
			return 0, err
		}
		st.committer.cache.add(m.ID, where)
	} else {
		st.addUnnumbered(m.ID, where)
	}
	event := eventRow{id: m.ID, business: m.Business, recipient: m.Recipient, seq: seq, version: 1, Step: lifecycle.First(m.ID, seq == 0).List[0]}
	return seq, st.logEvent(&event)
}

// fail marks the batch as unusable because a read failed in the middle of a request.
func (st *stagedBatch) fail(err error) error {
	st.broken = err
	return readError("append", err)
}

func appendUint64(dst []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(dst, v) }
