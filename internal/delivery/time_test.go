package delivery

import (
	"slices"
	"time"

	"github.com/esh3artech/esh3ar"
)

// acceptOne commits a message that is due later, or one with a time to live.
func (w *simulation) acceptOne(o op) {
	box := w.inboxes[o.a%simRecipients]
	m := w.newMessage(box, o)
	in := time.Duration(1+o.b%30) * time.Second
	if o.kind == opSchedule {
		m.SendAt = esh3ar.TimeOf(w.now.Add(in))
		w.tasks = append(w.tasks, esh3ar.Task{Kind: esh3ar.EnqueueTask, Due: m.SendAt, Message: m.ID, Life: 1})
		return
	}
	m.TTL = in
	w.mortal(m)
	w.enter(box, m)
	w.hint(w.node(o.a/simRecipients), box, m, true)
}

// mortal starts the TTL of a message.
func (w *simulation) mortal(m *simMessage) {
	m.ExpiresAt = esh3ar.TimeOf(w.now.Add(m.TTL))
	w.tasks = append(w.tasks, esh3ar.Task{Kind: esh3ar.ExpireTask, Due: m.ExpiresAt, Message: m.ID, Life: m.Life})
}

// due runs the tasks that are due, some of them late: tasks have no guaranteed time of execution.
func (w *simulation) due() {
	w.tasks = slices.DeleteFunc(w.tasks, func(t esh3ar.Task) bool {
		if t.Due > esh3ar.TimeOf(w.now) {
			return false
		}
		w.doTask(&t)
		return true
	})
}

func (w *simulation) doTask(t *esh3ar.Task) {
	m := w.byID[t.Message]
	box := w.inboxes[int(m.Recipient)%simRecipients]
	switch {
	case m.Life != t.Life || m.Status.Ends():
	case t.Kind == esh3ar.EnqueueTask:
		w.enter(box, m)
		w.hint(w.node(uint32(m.Seq)), box, m, false)
	default:
		m.Status = esh3ar.Expired
		w.tell(w.node(uint32(m.Seq)), nil, endedUnackedHints(box.recipient, []messageLife{{m.ID, m.Life}})...)
	}
}

// replay begins a new life of a dead letter.
func (w *simulation) replay(o op) {
	box := w.inboxes[o.a%simRecipients]
	for i, m := range box.messages {
		if m == nil || m.Status != esh3ar.Failed || (o.b+uint32(i))%2 == 0 {
			continue
		}
		box.messages[i] = nil
		m.Life++
		m.Attempts, m.pushes = 0, 0
		w.enter(box, m)
		if m.TTL > 0 {
			w.mortal(m)
		}
		w.note("life %d", m.Life)
		w.hint(w.node(o.a/simRecipients), box, m, false)
		return
	}
}
