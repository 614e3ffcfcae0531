package postgres

import (
	"bytes"
	"slices"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

// params are the arguments of settle_messages, and the messages that enter in their order; nil: there is nothing to write.
func (r *round) params(now esh3ar.Time) (params [][]byte, entering []*changing) {
	var changed []*changing
	for _, c := range r.order {
		if c.changed() {
			changed = append(changed, c)
		}
	}
	if len(changed) == 0 && len(r.ended) == 0 && len(r.began) == 0 {
		return nil, nil
	}
	slices.SortFunc(changed, func(a, b *changing) int { return bytes.Compare(a.was.id.UUID[:], b.was.id.UUID[:]) }) // rows are locked in this order
	params = append([][]byte{int8Param(int64(now))}, rowParams(changed)...)
	params = append(params, indexParams(changed)...)
	params = append(params, r.taskParams()...)
	for _, c := range changed {
		if c.enters {
			entering = append(entering, c)
		}
	}
	return params, entering
}

// rowParams are the rows as they are to be.
func rowParams(changed []*changing) [][]byte {
	n := len(changed)
	id, recipient, revision := newArray(uuidOID, 20*n), newArray(int8OID, 12*n), newArray(int4OID, 8*n)
	life, status, attempts, version := newArray(int4OID, 8*n), newArray(int2OID, 6*n), newArray(int4OID, 8*n), newArray(int4OID, 8*n)
	steps, expires, discarded, enters := newArray(byteaOID, 24*n), newArray(int8OID, 12*n), newArray(boolOID, 5*n), newArray(boolOID, 5*n)
	events, entries := newArray(int4OID, 8*n), newArray(byteaOID, 96*n)
	var scratch []byte
	for _, c := range changed {
		m := c.now
		id.uuid(m.id.UUID)
		recipient.int8(int64(m.recipient))
		revision.int4(c.was.revision)
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
		events.int4(len(m.List) - len(c.was.List))
		scratch = scratch[:0]
		for i := len(c.was.List); i < len(m.List); i++ {
			e := m.entry(i)
			scratch = e.Append(scratch)
		}
		entries.bytea(scratch)
	}
	return [][]byte{
		id.bytes(), recipient.bytes(), revision.bytes(), life.bytes(), status.bytes(), attempts.bytes(), version.bytes(), steps.bytes(), expires.bytes(),
		discarded.bytes(), enters.bytes(), events.bytes(), entries.bytes(),
	}
}

// indexParams are the places that become free and the dead letters that come and go.
func indexParams(changed []*changing) [][]byte {
	freeR, freeL, freeS := newArray(int8OID, 0), newArray(int2OID, 0), newArray(int8OID, 0)
	oldB, oldF, oldI := newArray(uuidOID, 0), newArray(int8OID, 0), newArray(uuidOID, 0)
	newB, newF, newI := newArray(uuidOID, 0), newArray(int8OID, 0), newArray(uuidOID, 0)
	for _, c := range changed {
		if c.was.waits() && (c.enters || c.now.Stage().Status.Ends()) {
			freeR.int8(int64(c.was.recipient))
			freeL.int2(int(c.was.lane))
			freeS.int8(int64(c.was.seq))
		}
		was, is := c.was.deadSince(), c.now.deadSince()
		if was == is {
			continue
		}
		if was != 0 {
			oldB.uuid(c.was.business.UUID)
			oldF.int8(int64(was))
			oldI.uuid(c.was.id.UUID)
		}
		if is != 0 {
			newB.uuid(c.was.business.UUID)
			newF.int8(int64(is))
			newI.uuid(c.was.id.UUID)
		}
	}
	return [][]byte{freeR.bytes(), freeL.bytes(), freeS.bytes(), oldB.bytes(), oldF.bytes(), oldI.bytes(), newB.bytes(), newF.bytes(), newI.bytes()}
}

// taskParams are the tasks that end and begin.
func (r *round) taskParams() [][]byte {
	id, kind, due, lease := newArray(uuidOID, 0), newArray(int2OID, 0), newArray(int8OID, 0), newArray(int8OID, 0)
	for _, key := range sortedTasks(r.ended) {
		id.uuid(key.id.UUID)
		kind.int2(int(key.kind))
		due.int8(int64(key.due))
		if number := r.ended[key]; number == nil || faultinject.Is(faultinject.FenceIgnored) {
			lease.null()
		} else {
			lease.int8(int64(*number))
		}
	}
	newID, newKind, newDue, newRecipient, newLife := newArray(uuidOID, 0), newArray(int2OID, 0), newArray(int8OID, 0), newArray(int8OID, 0), newArray(int4OID, 0)
	for _, key := range sortedTasks(r.began) {
		m := r.began[key]
		newID.uuid(key.id.UUID)
		newKind.int2(int(key.kind))
		newDue.int8(int64(key.due))
		newRecipient.int8(int64(m.recipient))
		newLife.int4(int(m.Stage().Life))
	}
	return [][]byte{
		id.bytes(), kind.bytes(), due.bytes(), lease.bytes(),
		newID.bytes(), newKind.bytes(), newDue.bytes(), newRecipient.bytes(), newLife.bytes(),
	}
}

// sortedTasks gives the keys in the order in which rows are locked.
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
