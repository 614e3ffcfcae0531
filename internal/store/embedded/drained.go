package embedded

import (
	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// appendDrained stages a call that was answered from a spill before, so that nothing can refuse it any more. known holds
// its key, if anything does. Ids come first: where they are stored an earlier try came through, whoever has the key now.
func (st *staging) appendDrained(call *esh3ar.Call, scope idemScope, known *idemRow) (esh3ar.Answer, error) {
	receipts, err := st.arrived(call)
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

// arrived gives the receipts of a call that is stored already, nil if it is not. A call is stored whole, so one of its
// messages is proof enough; what retention has deleted since has no seq any more.
func (st *staging) arrived(call *esh3ar.Call) (receipts []esh3ar.Receipt, err error) {
	for i, m := range call.Messages {
		where, ok, err := st.whereIs(m.ID)
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

// drainedReceipts are what the spill answered.
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

// whereIs finds a message in this batch or in the database.
func (st *staging) whereIs(id esh3ar.MessageID) (place, bool, error) {
	if where, ok := st.parked[id]; ok {
		return where, true, nil
	}
	if s := st.committer.recent.find(id); s != nil {
		return s.place, true, nil
	}
	return readPlace(st.committer.store.db, id)
}

// park remembers a message of this batch that has no seq: recent knows only those that have one.
func (st *staging) park(id esh3ar.MessageID, where place) {
	if st.parked == nil {
		st.parked = map[esh3ar.MessageID]place{}
	}
	st.parked[id] = where
}

// appendDuplicate stages a call whose key another call took meanwhile. Its caller has its ids, so its messages are there,
// with a history that says what became of them: accepted, and canceled now.
func (st *staging) appendDuplicate(call *esh3ar.Call) (esh3ar.Answer, error) {
	receipts := drainedReceipts(call)
	for i, m := range call.Messages {
		if err := st.storeCanceled(m); err != nil {
			return esh3ar.Answer{}, err
		}
		receipts[i].Status = esh3ar.Canceled
	}
	return esh3ar.Answer{Outcome: esh3ar.Duplicate, Batch: call.Batch, Receipts: receipts}, nil
}

// storeCanceled stages a message that ends before it has a seq or a task: like one that was scheduled and canceled.
func (st *staging) storeCanceled(m *esh3ar.Message) error {
	st.messages++
	where := placeOf(m)
	where.seq = 0
	st.park(m.ID, where)
	if err := st.setMessage(m, where); err != nil {
		return err
	}
	done := lifecycle.First(m.ID, where.scheduled)
	done.List = append(done.List, lifecycle.Step{
		Life: 1, Status: esh3ar.Canceled, At: max(st.now, m.CreatedAt()), Reason: esh3ar.ReasonDuplicate, // another node's clock may be ahead
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

// repeatsItself tells whether two messages of a call have one id. What comes from a disk may have gone through anything.
func repeatsItself(call *esh3ar.Call) bool {
	if len(call.Messages) < 2 {
		return false
	}
	seen := make(map[esh3ar.MessageID]struct{}, len(call.Messages))
	for _, m := range call.Messages {
		seen[m.ID] = struct{}{}
	}
	return len(seen) < len(call.Messages)
}
