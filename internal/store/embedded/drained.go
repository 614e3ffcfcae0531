package embedded

import (
	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// appendDrained stages a call that a spill has already answered, so it can no longer be rejected. known is the row of its
// idempotency key, or nil. The message ids are checked first: if they are stored, an earlier attempt succeeded, whichever
// call owns the key now.
func (st *stagedBatch) appendDrained(call *esh3ar.Call, scope idemScope, known *idemRow) (esh3ar.Answer, error) {
	receipts, err := st.storedReceipts(call)
	switch {
	case err != nil:
		return esh3ar.Answer{}, err
	case receipts != nil:
		return esh3ar.Answer{Outcome: esh3ar.Replayed, Batch: call.Batch, Receipts: receipts}, nil
	case known != nil:
		return st.appendDuplicate(call)
	}
	return st.storeCall(call, scope)
}

// storedReceipts returns the receipts of a call that is already stored, or nil if it is not. A call is stored completely or not at
// all, so one stored message proves it. Messages that retention has deleted since get no seq.
func (st *stagedBatch) storedReceipts(call *esh3ar.Call) (receipts []esh3ar.Receipt, err error) {
	for i, m := range call.Messages {
		where, ok, err := st.locate(m.ID)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if receipts == nil {
			receipts = drainedReceipts(call)
		}
		receipts[i].Seq = where.seq
	}
	return receipts, nil
}

// drainedReceipts returns the receipts that the spill returned to the caller.
func drainedReceipts(call *esh3ar.Call) []esh3ar.Receipt {
	receipts := make([]esh3ar.Receipt, len(call.Messages))
	for i, m := range call.Messages {
		receipts[i] = esh3ar.Receipt{ID: m.ID, Status: esh3ar.Queued, Recipient: m.Recipient, CorrelationID: m.CorrelationID}
		if !m.SendAt.IsZero() {
			receipts[i].Status = esh3ar.Scheduled
		}
	}
	return receipts
}

// locate returns the location of a message in this batch or in the database.
func (st *stagedBatch) locate(id esh3ar.MessageID) (location, bool, error) {
	if where, ok := st.unnumbered[id]; ok {
		return where, true, nil
	}
	if s := st.committer.cache.find(id); s != nil {
		return s.location, true, nil
	}
	return readLocation(st.committer.store.db, id)
}

// addUnnumbered records a message of this batch that has no seq. The message cache holds only messages that have one.
func (st *stagedBatch) addUnnumbered(id esh3ar.MessageID, where location) {
	if st.unnumbered == nil {
		st.unnumbered = map[esh3ar.MessageID]location{}
	}
	st.unnumbered[id] = where
}

// appendDuplicate stages a call whose idempotency key another call has used since. The caller already has its message ids,
// so the messages are stored with a history that shows their fate: accepted, then canceled.
func (st *stagedBatch) appendDuplicate(call *esh3ar.Call) (esh3ar.Answer, error) {
	receipts := drainedReceipts(call)
	for i, m := range call.Messages {
		if err := st.storeCanceled(m); err != nil {
			return esh3ar.Answer{}, err
		}
		receipts[i].Status = esh3ar.Canceled
	}
	return esh3ar.Answer{Outcome: esh3ar.Duplicate, Batch: call.Batch, Receipts: receipts}, nil
}

// storeCanceled stages a message that is canceled before it gets a seq or a task, like a scheduled message that is canceled.
func (st *stagedBatch) storeCanceled(m *esh3ar.Message) error {
	st.messages++
	where := locationOf(m)
	where.seq = 0
	st.addUnnumbered(m.ID, where)
	if err := st.writeMessage(m, where); err != nil {
		return err
	}
	done := lifecycle.First(m.ID, where.scheduled)
	done.List = append(done.List, lifecycle.Step{
		Life: 1, Status: esh3ar.Canceled, At: max(st.now, m.CreatedAt()), Reason: esh3ar.ReasonDuplicate, // another node's clock may be ahead of this one
	})
	st.key, st.row = appendStepsKey(st.key[:0], m.Recipient, 0, m.ID), done.Append(st.row[:0])
	if err := st.set(st.key, st.row); err != nil {
		return err
	}
	for i, one := range done.List {
		event := eventRow{id: m.ID, business: m.Business, recipient: m.Recipient, version: uint32(i + 1), Step: one}
		if err := st.logEvent(&event); err != nil {
			return err
		}
	}
	return nil
}

// hasDuplicateIDs reports whether two messages of a call have the same id. Calls from a spill come from disk and may be
// damaged.
func hasDuplicateIDs(call *esh3ar.Call) bool {
	if len(call.Messages) < 2 {
		return false
	}
	seen := make(map[esh3ar.MessageID]struct{}, len(call.Messages))
	for _, m := range call.Messages {
		seen[m.ID] = struct{}{}
	}
	return len(seen) < len(call.Messages)
}
