package embedded

import (
	"bytes"
	"encoding/binary"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
	"github.com/esh3artech/esh3ar/internal/store/lifecycle"
)

// body checks a message and everything that must follow from it.
func (w *verification) body(src verifySource, key, row []byte) []flaw {
	m, faults := bodyOf(key, row)
	if faults != nil {
		return faults
	}
	where, ok, err := readPlace(src, m.ID)
	if err != nil || !ok {
		return []flaw{{
			Finding: of(finding("id_missing", key, "nothing leads from the id to this message"), m),
			set:     []pair{{appendID(nil, m.ID), placeOf(m).append(nil)}},
		}}
	}
	if where.recipient != m.Recipient || where.seq != m.Seq {
		return checkTwin(src, key, m, where)
	}
	if where != placeOf(m) {
		faults = append(faults, flaw{
			Finding: of(finding("id_wrong", appendID(nil, m.ID), "it names another business, priority or beginning than the message"), m),
			set:     []pair{{appendID(nil, m.ID), placeOf(m).append(nil)}},
		})
	}
	done, err := readSteps(src, placeOf(m), m.ID)
	if err != nil {
		return append(faults, flaw{ // the row itself is set aside by its own check
			Finding: of(finding("steps_damaged", key, "%s", err), m), aside: [][]byte{appendStepsKey(nil, m.Recipient, m.Seq, m.ID)},
		})
	}
	if src == verifySource(w.view.snapshot) {
		w.events.expect(m.ID, &done)
	}
	faults = append(faults, checkLegal(key, m, &done)...)
	return append(faults, checkIndexes(src, key, m, &done)...)
}

// bodyOf takes a body apart.
func bodyOf(key, row []byte) (*esh3ar.Message, []flaw) {
	var m esh3ar.Message
	var err error
	switch {
	case key[0] == bodyKey && len(key) == 17:
		m, err = decodeBody(row, esh3ar.Recipient(binary.BigEndian.Uint64(key[1:])), esh3ar.Seq(binary.BigEndian.Uint64(key[9:])))
	case key[0] == parkedKey && len(key) == 17:
		if m, err = decodeBody(row, 0, 0); err == nil && !bytes.Equal(m.ID.UUID[:], key[1:]) {
			err = codec.ErrDamaged
		}
	default:
		err = codec.ErrDamaged
	}
	if err != nil {
		faults := unreadable("body_damaged", key, err)
		if key[0] == bodyKey && len(key) == 17 { // a place in the inbox without a readable message would hold up all behind it
			for p := range esh3ar.Priority(esh3ar.Priorities) {
				r, seq := esh3ar.Recipient(binary.BigEndian.Uint64(key[1:])), esh3ar.Seq(binary.BigEndian.Uint64(key[9:]))
				faults[0].aside = append(faults[0].aside, appendWaiting(nil, r, p, seq))
			}
		}
		return nil, faults
	}
	return &m, nil
}

// checkTwin: the id leads to another place. The body there is the message, if it is one.
func checkTwin(src verifySource, key []byte, m *esh3ar.Message, where place) []flaw {
	other, ok, err := readBody(src, where.recipient, where.seq, m.ID)
	if err == nil && ok && other.ID == m.ID {
		f := flaw{Finding: of(finding("body_twice", key, "the message is at +%d/%d", where.recipient, where.seq), m), aside: [][]byte{bytes.Clone(key)}}
		if m.Seq != 0 {
			f.aside = append(f.aside, appendWaiting(nil, m.Recipient, m.Priority, m.Seq))
		}
		return []flaw{f}
	}
	return []flaw{{
		Finding: of(finding("id_wrong", appendID(nil, m.ID), "it leads to +%d/%d, where the message is not", where.recipient, where.seq), m),
		set:     []pair{{appendID(nil, m.ID), placeOf(m).append(nil)}},
	}}
}

// checkLegal holds a history against the table of statuses.
func checkLegal(key []byte, m *esh3ar.Message, done *lifecycle.Steps) []flaw {
	for i := 1; i < len(done.List); i++ {
		before, after := done.List[i-1], done.List[i]
		replays := after.Life == before.Life+1 && before.Status == esh3ar.Failed && after.Status == esh3ar.Queued
		grows := after.Life == before.Life && (esh3ar.Stage{Life: before.Life, Status: before.Status}).CanBecome(esh3ar.Stage{Life: after.Life, Status: after.Status})
		if !replays && !grows {
			return []flaw{{Finding: of(finding("steps_illegal", key, "step %d: %s of life %d cannot become %s of life %d",
				i+1, before.Status, before.Life, after.Status, after.Life), m)}}
		}
	}
	return nil
}

// checkIndexes asks for the rows that a message of this progress must have.
func checkIndexes(src verifySource, key []byte, m *esh3ar.Message, done *lifecycle.Steps) (faults []flaw) {
	want := func(check string, row pair, detail string) {
		if got, err := getRow(src, row.key); err == nil && got == nil {
			faults = append(faults, flaw{Finding: of(finding(check, row.key, "%s", detail), m), set: []pair{row}})
		}
	}
	listRow := appendUint64(appendUint64(nil, uint64(m.Recipient)), uint64(m.Seq))
	want("list_missing", pair{appendList(nil, m.Business, m.ID), listRow}, "the business's listing leaves this message out")
	status := done.Stage().Status
	if m.Seq != 0 && !status.Ends() {
		want("undelivered_missing", pair{appendWaiting(nil, m.Recipient, m.Priority, m.Seq), []byte{}}, "the inbox leaves this message out")
	}
	if at := done.FailedAt(); at != 0 {
		want("dead_letter_missing", pair{appendDead(nil, m.Business, at, m.ID), deadRow(false)}, "the dead letters leave this message out")
	}
	if status == esh3ar.Scheduled {
		want("task_missing", pair{appendTask(nil, m.SendAt, esh3ar.EnterTask, m.ID), appendTaskRow(nil, 1, m.Recipient)}, "nothing would bring this message into its inbox")
	}
	if !m.ExpiresAt.IsZero() && !status.Ends() {
		want("task_missing", pair{appendTask(nil, m.ExpiresAt, esh3ar.ExpireTask, m.ID), appendTaskRow(nil, done.Stage().Life, m.Recipient)}, "nothing would end this message's time to live")
	}
	if counter, err := readCounter(src, m.Recipient); err == nil && m.Seq > counter {
		faults = append(faults, flaw{
			Finding: of(finding("counter_low", key, "the recipient's counter is %d: the next message would get a seq that is in use", counter), m),
			set:     []pair{{appendCounter(nil, m.Recipient), appendUint64(nil, uint64(m.Seq))}},
		})
	}
	return faults
}
