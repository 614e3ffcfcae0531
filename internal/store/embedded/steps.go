package embedded

import (
	"encoding/binary"

	"github.com/esh3artech/esh3ar"
)

// step is one status change of a message. The list of its steps is all that changes of a message, so its progress
// and its history are both folds over one small row. The first step of every message, queued or scheduled at its
// creation, is never written: an append costs no row for it.
type step struct {
	life    esh3ar.Life
	status  esh3ar.Status
	attempt int
	at      esh3ar.Time
	reason  string
}

// steps is the changing half of a message.
type steps struct {
	attempts int // deliveries tried in the current life; repeats count here without a step
	list     []step
}

// firstSteps is where every message begins.
func firstSteps(id esh3ar.MessageID, scheduled bool) steps {
	first := step{life: 1, status: esh3ar.Queued, at: id.CreatedAt()}
	if scheduled {
		first.status = esh3ar.Scheduled
	}
	return steps{list: []step{first}}
}

// append writes all steps but the first.
func (s *steps) append(dst []byte) []byte {
	dst = binary.AppendUvarint(append(dst, rowFormat), uint64(s.attempts))
	dst = binary.AppendUvarint(dst, uint64(len(s.list)-1))
	last := s.list[0].at
	for _, st := range s.list[1:] {
		dst = append(binary.AppendUvarint(dst, uint64(st.life)), byte(st.status))
		dst = binary.AppendUvarint(dst, uint64(st.attempt))
		dst = appendString(binary.AppendVarint(dst, int64(st.at-last)), st.reason)
		last = st.at
	}
	return dst
}

func decodeSteps(row []byte, id esh3ar.MessageID, scheduled bool) (steps, error) {
	s := firstSteps(id, scheduled)
	r := newReader(row)
	s.attempts = int(r.uvarint())
	last := s.list[0].at
	for range r.uvarint() {
		st := step{life: esh3ar.Life(r.uvarint()), status: esh3ar.Status(r.byte()), attempt: int(r.uvarint())}
		last += esh3ar.Time(r.varint())
		st.at, st.reason = last, r.string()
		if r.bad || st.status >= esh3ar.Statuses {
			return s, errRow
		}
		s.list = append(s.list, st)
	}
	return s, r.err()
}

// progress folds the steps.
func (s *steps) progress(scheduled esh3ar.Time) esh3ar.Progress {
	p := esh3ar.Progress{Version: uint32(len(s.list)), Attempts: s.attempts, ScheduledAt: scheduled}
	for _, st := range s.list {
		if st.life > p.Life { // a new life starts with a clean sheet
			p.SentAt, p.DeliveredAt, p.ReadAt, p.EndedAt, p.Reason = 0, 0, 0, 0, ""
		}
		p.Stage = esh3ar.Stage{Life: st.life, Status: st.status}
		switch st.status {
		case esh3ar.Sent:
			p.SentAt = st.at
		case esh3ar.Canceled, esh3ar.Expired, esh3ar.Failed:
			p.EndedAt, p.Reason = st.at, st.reason
		case esh3ar.Delivered:
			p.DeliveredAt = st.at
		case esh3ar.Read:
			p.ReadAt = st.at
			if p.DeliveredAt.IsZero() {
				p.DeliveredAt = st.at
			}
		case esh3ar.Scheduled, esh3ar.Queued, esh3ar.Pending:
		}
	}
	return p
}

// stage is where the message stands.
func (s *steps) stage() esh3ar.Stage {
	last := s.list[len(s.list)-1]
	return esh3ar.Stage{Life: last.life, Status: last.status}
}

// failedAt is when its life failed, if that is where it stands; else zero. Then it is a dead letter.
func (s *steps) failedAt() esh3ar.Time {
	if last := s.list[len(s.list)-1]; last.status == esh3ar.Failed {
		return last.at
	}
	return 0
}

// eventRow is what the event log keeps of an event; correlation id and metadata stay in the body.
type eventRow struct {
	id        esh3ar.MessageID
	business  esh3ar.BusinessID
	recipient esh3ar.Recipient
	seq       esh3ar.Seq
	version   uint32
	step
}

func (e *eventRow) append(dst []byte) []byte {
	dst = append(append(append(dst, rowFormat), e.id.UUID[:]...), e.business.UUID[:]...)
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(e.recipient)), uint64(e.seq))
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(e.version)), uint64(e.life))
	dst = binary.AppendUvarint(append(dst, byte(e.status)), uint64(e.attempt))
	return appendString(binary.AppendVarint(dst, int64(e.at)), e.reason)
}

func decodeEvent(row []byte) (e eventRow, err error) {
	r := newReader(row)
	e.id.UUID, e.business.UUID = r.uuid(), r.uuid()
	e.recipient, e.seq = esh3ar.Recipient(r.uvarint()), esh3ar.Seq(r.uvarint())
	e.version, e.life = uint32(r.uvarint()), esh3ar.Life(r.uvarint())
	e.status, e.attempt = esh3ar.Status(r.byte()), int(r.uvarint())
	e.at, e.reason = esh3ar.Time(r.varint()), r.string()
	if e.status >= esh3ar.Statuses {
		r.bad = true
	}
	return e, r.err()
}

// event adds what the body knows; m may be nil when the body is gone.
func (e *eventRow) event(m *esh3ar.Message) esh3ar.Event {
	event := esh3ar.Event{
		ID: esh3ar.EventIDOf(e.id, e.version, e.at), Message: e.id, Business: e.business, Version: e.version,
		Life: e.life, Status: e.status, At: e.at, Recipient: e.recipient, Attempt: e.attempt, Reason: e.reason,
	}
	if m != nil {
		event.CorrelationID, event.Metadata = m.CorrelationID, m.Metadata
	}
	return event
}
