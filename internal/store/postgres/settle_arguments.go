package postgres

import (
	"bytes"
	"slices"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

// arguments returns the arguments of settle_messages, and the messages that get a new seq in order. It returns nil if there is nothing to
// write.
func (r *settleAttempt) arguments(now esh3ar.Time) ([]argument, []*rowUpdate) {
	var entering []*rowUpdate
	var changed []*rowUpdate
	for _, c := range r.order {
		if c.changed() {
			changed = append(changed, c)
		}
	}
	if len(changed) == 0 && len(r.endedTasks) == 0 && len(r.newTasks) == 0 {
		return nil, nil
	}
	slices.SortFunc(changed, func(a, b *rowUpdate) int { return bytes.Compare(a.before.id.UUID[:], b.before.id.UUID[:]) }) // rows are locked in this order
	for _, c := range changed {
		if c.enters {
			entering = append(entering, c)
		}
	}
	return settleArguments(changed, r, now), entering
}

func settleArguments(changed []*rowUpdate, r *settleAttempt, now esh3ar.Time) []argument {
	args := make([]argument, 0, settleArgumentCount)
	args = append(args, argument{"p_now", int8Param(int64(now))})
	args = append(args, rowArguments(changed)...)
	args = append(args, indexArguments(changed)...)
	return append(args, r.taskArguments()...)
}

// settleArgumentCount is the capacity for the arguments of settle_messages.
const settleArgumentCount = 32

// rowArguments returns the arguments that describe the new rows.
func rowArguments(changed []*rowUpdate) []argument {
	n := len(changed)
	id, recipient, revision := newArray(uuidOID, 20*n), newArray(int8OID, 12*n), newArray(int4OID, 8*n)
	life, status, attempts, version := newArray(int4OID, 8*n), newArray(int2OID, 6*n), newArray(int4OID, 8*n), newArray(int4OID, 8*n)
	steps, expires, discarded, enters := newArray(byteaOID, 24*n), newArray(int8OID, 12*n), newArray(boolOID, 5*n), newArray(boolOID, 5*n)
	events, entries := newArray(int4OID, 8*n), newArray(byteaOID, 96*n)
	var scratch []byte
	for _, c := range changed {
		m := c.after
		id.uuid(m.id.UUID)
		recipient.int8(int64(m.recipient))
		revision.int4(c.before.revision)
		stage := m.Stage()
		life.int4(int(stage.Life))
		status.int2(int(stage.Status))
		attempts.int4(m.Attempts)
		version.int4(len(m.List))
		scratch = m.Append(scratch[:0])
		steps.bytea(scratch)
		expires.int8(int64(m.expiresAt))
		discarded.bool(m.discarded)
		enters.bool(c.enters)
		events.int4(len(m.List) - len(c.before.List))
		scratch = scratch[:0]
		for i := len(c.before.List); i < len(m.List); i++ {
			e := m.entry(i)
			scratch = e.Append(scratch)
		}
		entries.bytea(scratch)
	}
	return []argument{
		{"m_id", id.bytes()},
		{"m_recipient", recipient.bytes()},
		{"m_revision", revision.bytes()},
		{"m_life", life.bytes()},
		{"m_status", status.bytes()},
		{"m_attempts", attempts.bytes()},
		{"m_version", version.bytes()},
		{"m_steps", steps.bytes()},
		{"m_expires", expires.bytes()},
		{"m_discarded", discarded.bytes()},
		{"m_enters", enters.bytes()},
		{"m_events", events.bytes()},
		{"m_entries", entries.bytes()},
	}
}

// indexArguments returns the inbox entries to delete, and the dead letters to delete and insert.
func indexArguments(changed []*rowUpdate) []argument {
	inboxRecipient, inboxLane, inboxSeq := newArray(int8OID, 0), newArray(int2OID, 0), newArray(int8OID, 0)
	oldBusiness, oldFailed, oldID := newArray(uuidOID, 0), newArray(int8OID, 0), newArray(uuidOID, 0)
	newBusiness, newFailed, newID := newArray(uuidOID, 0), newArray(int8OID, 0), newArray(uuidOID, 0)
	for _, c := range changed {
		if c.before.inInbox() && (c.enters || c.after.Stage().Status.Ends()) {
			inboxRecipient.int8(int64(c.before.recipient))
			inboxLane.int2(int(c.before.lane))
			inboxSeq.int8(int64(c.before.seq))
		}
		before, after := c.before.deadLetterAt(), c.after.deadLetterAt()
		if before == after {
			continue
		}
		if before != 0 {
			oldBusiness.uuid(c.before.business.UUID)
			oldFailed.int8(int64(before))
			oldID.uuid(c.before.id.UUID)
		}
		if after != 0 {
			newBusiness.uuid(c.before.business.UUID)
			newFailed.int8(int64(after))
			newID.uuid(c.before.id.UUID)
		}
	}
	return []argument{
		{"i_recipient", inboxRecipient.bytes()},
		{"i_lane", inboxLane.bytes()},
		{"i_seq", inboxSeq.bytes()},
		{"d_business", oldBusiness.bytes()},
		{"d_failed", oldFailed.bytes()},
		{"d_id", oldID.bytes()},
		{"n_business", newBusiness.bytes()},
		{"n_failed", newFailed.bytes()},
		{"n_id", newID.bytes()},
	}
}

// taskArguments returns the tasks to delete and to insert.
func (r *settleAttempt) taskArguments() []argument {
	id, kind, due, lease := newArray(uuidOID, 0), newArray(int2OID, 0), newArray(int8OID, 0), newArray(int8OID, 0)
	for _, key := range sortedTasks(r.endedTasks) {
		id.uuid(key.id.UUID)
		kind.int2(int(key.kind))
		due.int8(int64(key.due))
		if number := r.endedTasks[key]; number == nil || faultinject.Is(faultinject.FenceIgnored) {
			lease.null()
		} else {
			lease.int8(int64(*number))
		}
	}
	newID, newKind, newDue, newRecipient, newLife := newArray(uuidOID, 0), newArray(int2OID, 0), newArray(int8OID, 0), newArray(int8OID, 0), newArray(int4OID, 0)
	for _, key := range sortedTasks(r.newTasks) {
		m := r.newTasks[key]
		newID.uuid(key.id.UUID)
		newKind.int2(int(key.kind))
		newDue.int8(int64(key.due))
		newRecipient.int8(int64(m.recipient))
		newLife.int4(int(m.Stage().Life))
	}
	return []argument{
		{"e_id", id.bytes()},
		{"e_kind", kind.bytes()},
		{"e_due", due.bytes()},
		{"e_lease", lease.bytes()},
		{"t_id", newID.bytes()},
		{"t_kind", newKind.bytes()},
		{"t_due", newDue.bytes()},
		{"t_recipient", newRecipient.bytes()},
		{"t_life", newLife.bytes()},
	}
}

// sortedTasks returns the keys in the order in which rows are locked.
func sortedTasks[V any](of map[taskKey]V) []taskKey {
	keys := make([]taskKey, 0, len(of))
	for key := range of {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b taskKey) int {
		if c := bytes.Compare(a.id.UUID[:], b.id.UUID[:]); c != 0 {
			return c
		}
		if a.kind != b.kind {
			return int(a.kind) - int(b.kind)
		}
		return int(a.due - b.due)
	})
	return keys
}
