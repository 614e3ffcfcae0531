package embedded

import (
	"bytes"
	"encoding/binary"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// body checks a message and all rows that must follow from it.
func (w *verification) body(src verifySource, key, row []byte) []fault {
	m, faults := bodyOf(key, row)
	if faults != nil {
		return faults
	}
	where, ok, err := readLocation(src, m.ID)
	if err != nil || !ok {
		return []fault{{
			Finding: withMessage(finding("id_missing", key, "the id does not lead to this message"), m),
			set:     []rowWrite{{appendID(nil, m.ID), locationOf(m).append(nil)}},
		}}
	}
	if where.recipient != m.Recipient || where.seq != m.Seq {
		return checkSecondBody(src, key, m, where)
	}
	if where != locationOf(m) {
		faults = append(faults, fault{
			Finding: withMessage(finding("id_wrong", appendID(nil, m.ID), "its business, priority or first status differs from the message's"), m),
			set:     []rowWrite{{appendID(nil, m.ID), locationOf(m).append(nil)}},
		})
	}
	done, err := readSteps(src, locationOf(m), m.ID)
	if err != nil {
		return append(faults, fault{ // the check of the row of steps sets the row aside
			Finding: withMessage(finding("steps_damaged", key, "%s", err), m), quarantine: [][]byte{appendStepsKey(nil, m.Recipient, m.Seq, m.ID)},
		})
	}
	if src == verifySource(w.view.snapshot) {
		w.events.expect(m.ID, &done)
	}
	faults = append(faults, checkTransitions(key, m, &done)...)
	return append(faults, checkIndexes(src, key, m, &done)...)
}

// bodyOf decodes the body of a message, or returns the fault.
func bodyOf(key, row []byte) (*esh3ar.Message, []fault) {
	var m esh3ar.Message
	var err error
	switch {
	case key[0] == bodyKey && len(key) == 17:
		m, err = decodeBody(row, esh3ar.Recipient(binary.BigEndian.Uint64(key[1:])), esh3ar.Seq(binary.BigEndian.Uint64(key[9:])))
	case key[0] == unnumberedBodyKey && len(key) == 17:
		if m, err = decodeBody(row, 0, 0); err == nil && !bytes.Equal(m.ID.UUID[:], key[1:]) {
			err = codec.ErrDamaged
		}
	default:
		err = codec.ErrDamaged
	}
	if err != nil {
		faults := unreadable("body_damaged", key, err)
		// An undelivered entry without a readable message would block all later messages of the inbox.
		if key[0] == bodyKey && len(key) == 17 {
			for p := range esh3ar.Priority(esh3ar.Priorities) {
				r, seq := esh3ar.Recipient(binary.BigEndian.Uint64(key[1:])), esh3ar.Seq(binary.BigEndian.Uint64(key[9:]))
				faults[0].quarantine = append(faults[0].quarantine, appendUndelivered(nil, r, p, seq))
			}
		}
		return nil, faults
	}
	return &m, nil
}

// checkSecondBody checks a message whose id leads to another seq. If the body there has the same id, that one is the message.
func checkSecondBody(src verifySource, key []byte, m *esh3ar.Message, where location) []fault {
	other, ok, err := readBody(src, where.recipient, where.seq, m.ID)
	if err == nil && ok && other.ID == m.ID {
		f := fault{Finding: withMessage(finding("body_twice", key, "the message is at +%d/%d", where.recipient, where.seq), m), quarantine: [][]byte{bytes.Clone(key)}}
		if m.Seq != 0 {
			f.quarantine = append(f.quarantine, appendUndelivered(nil, m.Recipient, m.Priority, m.Seq))
		}
		return []fault{f}
	}
	return []fault{{
		Finding: withMessage(finding("id_wrong", appendID(nil, m.ID), "it leads to +%d/%d, but the message is elsewhere", where.recipient, where.seq), m),
		set:     []rowWrite{{appendID(nil, m.ID), locationOf(m).append(nil)}},
	}}
}

// checkTransitions checks a history against the table of legal transitions.
func checkTransitions(key []byte, m *esh3ar.Message, done *lifecycle.Steps) []fault {
	for i := 1; i < len(done.List); i++ {
		before, after := done.List[i-1], done.List[i]
		replays := after.Life == before.Life+1 && before.Status == esh3ar.Failed && after.Status == esh3ar.Queued
		grows := after.Life == before.Life && (esh3ar.Stage{Life: before.Life, Status: before.Status}).CanBecome(esh3ar.Stage{Life: after.Life, Status: after.Status})
		if !replays && !grows {
			return []fault{{Finding: withMessage(finding("steps_illegal", key, "step %d: %s of life %d cannot become %s of life %d",
				i+1, before.Status, before.Life, after.Status, after.Life), m)}}
		}
	}
	return nil
}

// checkIndexes checks the index rows that a message in its current state must have.
func checkIndexes(src verifySource, key []byte, m *esh3ar.Message, done *lifecycle.Steps) []fault {
	var faults []fault
	want := func(check string, row rowWrite, detail string) {
		if got, err := getRow(src, row.key); err == nil && got == nil {
			faults = append(faults, fault{Finding: withMessage(finding(check, row.key, "%s", detail), m), set: []rowWrite{row}})
		}
	}
	listRow := appendUint64(appendUint64(nil, uint64(m.Recipient)), uint64(m.Seq))
	want("list_missing", rowWrite{appendList(nil, m.Business, m.ID), listRow}, "the message is missing from the listing of its business")
	status := done.Stage().Status
	if m.Seq != 0 && !status.Ends() {
		want("undelivered_missing", rowWrite{appendUndelivered(nil, m.Recipient, m.Priority, m.Seq), []byte{}}, "the message is missing from its inbox")
	}
	if at := done.FailedAt(); at != 0 {
		want("dead_letter_missing", rowWrite{appendDeadLetter(nil, m.Business, at, m.ID), deadLetterRow(false)}, "the message is missing from the dead letters")
	}
	if status == esh3ar.Scheduled {
		want("task_missing", rowWrite{appendTask(nil, m.SendAt, esh3ar.EnqueueTask, m.ID), appendTaskRow(nil, 1, m.Recipient)}, "the message has no task that moves it into its inbox")
	}
	if !m.ExpiresAt.IsZero() && !status.Ends() {
		want("task_missing", rowWrite{appendTask(nil, m.ExpiresAt, esh3ar.ExpireTask, m.ID), appendTaskRow(nil, done.Stage().Life, m.Recipient)}, "the message has no task that expires it")
	}
	if counter, err := readCounter(src, m.Recipient); err == nil && m.Seq > counter {
		faults = append(faults, fault{
			Finding: withMessage(finding("counter_low", key, "the counter of the recipient is %d: the next message would get a seq that is in use", counter), m),
			set:     []rowWrite{{appendCounter(nil, m.Recipient), appendUint64(nil, uint64(m.Seq))}},
		})
	}
	return faults
}
