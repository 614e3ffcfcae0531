package delivery

import (
	"errors"
	"slices"

	"github.com/esh3artech/esh3ar"
)

// step runs the real machine and carries out what it asks for.
func (w *world) step(c *simConn, ev event, fails bool) {
	if c.closed {
		return
	}
	var fx effects
	s := &c.step
	switch ev.kind {
	case openEvent:
		s.open(&simRules, &fx)
	case hintEvent:
		s.hint(&simRules, ev.seq, ev.message, &fx)
	case ackEvent:
		s.acknowledge(&simRules, ev.ids, ev.read, ev.call, w.now, &fx)
	case upToEvent:
		s.acknowledgeUpTo(&simRules, ev.seq, ev.call, w.now, &fx)
	case pageEvent:
		w.readInbox(ev, fails, func(page *esh3ar.InboxPage, err error) { s.page(&simRules, page, err, &fx) })
	case settledEvent:
		s.settled(&simRules, ev.result.ticket, ev.result.settled, ev.result.err, w.now, &fx)
	case reloadedEvent:
		m := w.byID[ev.ids[0]]
		s.reloaded(&simRules, ev.ids[0], &esh3ar.Record{Message: m.Message, Progress: m.Progress}, nil, w.now, &fx)
	case endedEvent:
		s.endedElsewhere(&simRules, ev.ids, ended, w.now, &fx)
	case lapsedEvent:
		s.endedElsewhere(&simRules, ev.ids, lapsed, w.now, &fx)
	case writableEvent:
		s.writable(&simRules, &fx)
	case sweepEvent:
		s.sweep(&simRules, ev.seq, &fx)
	case tickEvent:
		s.tick(&simRules, w.now, c.heard, func(n int64) int64 { return n / 2 }, &fx)
	case resumedEvent:
		s.resumed(&simRules, w.now)
	}
	w.carryOut(c, &fx)
	w.checkWindow(c)
}

var errSim = errors.New("the store is away")

// readInbox answers a read as the store stands when the answer is given, or a little earlier, as snapshots may be.
func (w *world) readInbox(ev event, fails bool, answer func(*esh3ar.InboxPage, error)) {
	if fails {
		w.mishaps = true
		answer(&esh3ar.InboxPage{}, errSim)
		return
	}
	answer(&ev.result.page, nil)
}

// pending is the model of one read.
func (b *simInbox) pending(q *esh3ar.InboxQuery) (page esh3ar.InboxPage) {
	page.Counter, page.Ended = esh3ar.Seq(len(b.messages)), true
	bytes := 0
	for p := esh3ar.Priorities - 1; p >= 0; p-- {
		if q.Skip[p] {
			page.Ended = false
			continue
		}
		for _, m := range b.messages {
			if int(m.Priority) != p || m.Seq <= q.After[p] || m.Status.Ends() {
				continue
			}
			if len(page.Records) >= q.Limit || len(page.Records) > 0 && bytes+m.Size() > q.Bytes {
				page.Ended = false
				break
			}
			bytes += m.Size()
			page.Records = append(page.Records, esh3ar.Record{Message: m.Message, Progress: m.Progress})
		}
	}
	return page
}

// carryOut does what the shell does, with the network in between.
func (w *world) carryOut(c *simConn, fx *effects) {
	for _, d := range fx.done {
		d.call(d.err)
	}
	for _, st := range fx.settles {
		w.settles = append(w.settles, simSettle{c, st})
	}
	for _, other := range w.conns {
		if len(fx.ended) > 0 && other != c && other.inbox == c.inbox {
			other.mailbox = append(other.mailbox, event{kind: endedEvent, ids: fx.ended})
		}
	}
	if fx.read != nil {
		c.mailbox = append(c.mailbox, event{kind: pageEvent, result: &result{page: c.inbox.pending(fx.read)}})
	}
	for _, id := range fx.reloads {
		c.mailbox = append(c.mailbox, event{kind: reloadedEvent, ids: []esh3ar.MessageID{id}})
	}
	w.write(c, fx)
}

// write is the socket.
func (w *world) write(c *simConn, fx *effects) {
	if len(fx.batch.Pushes) > 0 {
		var next effects
		if c.full {
			c.step.refused(fx.batch)
		} else {
			w.receive(c, fx.batch)
			c.step.pushed(&simRules, fx.batch, w.now, c.heard, &next)
		}
		w.carryOut(c, &next)
	}
	if fx.repeat != nil {
		var next effects
		if !c.full {
			w.receiveRepeat(c, fx.repeat)
		}
		c.step.repeated(&simRules, fx.repeat.Message.ID, !c.full, w.now, c.heard, &next)
		w.carryOut(c, &next)
	}
}

// receive is a batch of first deliveries at the phone.
func (w *world) receive(c *simConn, batch Batch) {
	for _, p := range batch.Pushes {
		m := w.byID[p.Message.ID]
		if c.by[m.ID] != nil {
			w.breaks("%s/%d was pushed twice on one connection and not as a repeat", m.Recipient, m.Seq)
		}
		for _, earlier := range c.pushes {
			if earlier.m.Priority == m.Priority && earlier.m.Seq > m.Seq {
				w.breaks("%s/%d came after %d of the same lane", m.Recipient, m.Seq, earlier.m.Seq)
			}
		}
		if m.Recipient != c.inbox.recipient {
			w.breaks("%s/%d reached %s", m.Recipient, m.Seq, c.inbox.recipient)
		}
		if c.step.backingOff(m.Priority) {
			w.breaks("%s/%d was pushed while its lane was backing off", m.Recipient, m.Seq)
		}
		push := &simPush{m: m, at: w.now, heard: c.heard, attempt: p.Attempt}
		c.pushes, c.by[m.ID] = append(c.pushes, push), push
		m.received = true
		w.note("%s got %d", c.name(), m.Seq)
	}
}

// receiveRepeat checks that a repeat was due: the oldest of its lane, in time, and after a sign of life.
func (w *world) receiveRepeat(c *simConn, p *Push) {
	push := c.by[p.Message.ID]
	if push == nil {
		w.breaks("a repeat of %d that was never pushed here", p.Message.Seq)
		return
	}
	least := simRules.AckTimeout + simRules.Backoff.Base/2
	if waited := w.now.Sub(push.at); waited < least {
		w.breaks("%d was repeated after %s", push.m.Seq, waited)
	}
	if c.heard <= push.heard {
		w.breaks("%d was repeated without a sign of life", push.m.Seq)
	}
	if p.Attempt <= push.attempt || p.Attempt > push.m.Attempts {
		w.breaks("%d was repeated as attempt %d after %d, the store has %d", push.m.Seq, p.Attempt, push.attempt, push.m.Attempts)
	}
	push.at, push.heard, push.attempt = w.now, c.heard, p.Attempt
	w.note("%s got %d again", c.name(), push.m.Seq)
}

// phoneAcks acknowledges one of what the phone has, or one of another connection's.
func (w *world) phoneAcks(c *simConn, o op) {
	if len(c.inbox.messages) == 0 {
		return
	}
	m := c.inbox.messages[o.b%uint32(len(c.inbox.messages))]
	if o.b%8 != 0 && len(c.pushes) > 0 {
		m = c.pushes[o.b/8%uint32(len(c.pushes))].m
	}
	if !m.received {
		return
	}
	ids := []esh3ar.MessageID{m.ID}
	w.acknowledge(c, ids, o.kind == opRead)
	if o.kind == opAckTwice {
		w.acknowledge(c, ids, false)
	}
}

// acknowledge calls, and checks at the completion that what it promised is durable.
func (w *world) acknowledge(c *simConn, ids []esh3ar.MessageID, read bool) {
	c.heard++
	w.step(c, event{kind: ackEvent, ids: ids, read: read, call: w.durable(c, ids, read)}, false)
}

func (w *world) durable(c *simConn, ids []esh3ar.MessageID, read bool) func(error) {
	return func(err error) {
		if err != nil {
			return
		}
		least := esh3ar.Delivered
		if read {
			least = esh3ar.Read
		}
		for _, id := range ids {
			m := w.byID[id]
			if m.Recipient == c.inbox.recipient && m.Status.Rank() < least.Rank() {
				w.breaks("an acknowledgement of %d was completed and is not durable", m.Seq)
			}
			if m.Recipient != c.inbox.recipient && m.Status.Ends() && !m.received && !m.canceled {
				w.breaks("a foreign acknowledgement ended %d", m.Seq)
			}
		}
	}
}

// phoneAcksUpTo acknowledges by seq; what that covers is told by the phone's own list of first pushes.
func (w *world) phoneAcksUpTo(c *simConn, o op) {
	seq := esh3ar.Seq(o.b % uint32(len(c.inbox.messages)+2))
	at := slices.IndexFunc(c.pushes, func(p *simPush) bool { return p.m.Seq == seq })
	var covered []esh3ar.MessageID
	for _, p := range c.pushes[:at+1] {
		covered = append(covered, p.m.ID)
	}
	untouched := w.undelivered(covered)
	c.heard++
	before := len(w.settles)
	w.step(c, event{kind: upToEvent, seq: seq, call: w.durable(c, covered, false)}, false)
	for _, st := range w.settles[before:] {
		for _, change := range st.changes {
			if change.To == esh3ar.Delivered && slices.Contains(untouched, change.Message) {
				w.breaks("acknowledging up to %d settles %d, which was not pushed here before it", seq, w.byID[change.Message].Seq)
			}
		}
	}
}

// undelivered gives all messages but the covered ones.
func (w *world) undelivered(covered []esh3ar.MessageID) (ids []esh3ar.MessageID) {
	for id := range w.byID {
		if !slices.Contains(covered, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// commit makes all waiting settlements durable, or none.
func (w *world) commit(fails bool) {
	jobs := w.settles
	w.settles = nil
	for _, job := range jobs {
		r := &result{ticket: job.ticket}
		if fails {
			r.err = errSim
			job.conn.returned += len(job.ticket.ids)
		} else {
			for i := range job.changes {
				r.settled = append(r.settled, w.apply(&job.changes[i]))
			}
		}
		if job.ticket.kind != sentTicket && !job.conn.closed {
			job.conn.mailbox = append(job.conn.mailbox, event{kind: settledEvent, result: r})
		}
	}
}

// apply is the model of one change.
func (w *world) apply(c *esh3ar.Change) esh3ar.Settled {
	m := w.byID[c.Message]
	if m == nil || m.Recipient != c.Recipient {
		return esh3ar.Settled{Message: c.Message}
	}
	result := esh3ar.Settled{Found: true, Message: c.Message}
	switch {
	case c.To == esh3ar.Scheduled:
		if m.Attempts == c.Attempt-1 && !m.Status.Ends() {
			m.Attempts, result.Applied = c.Attempt, true
		}
	case m.CanBecome(esh3ar.Stage{Life: m.Life, Status: c.To}):
		m.Status, result.Applied = c.To, true
		m.Attempts = max(m.Attempts, c.Attempt)
		if c.To.Ends() && !m.received {
			w.breaks("%s/%d is %s and nobody received it", m.Recipient, m.Seq, c.To)
		}
	}
	result.Progress = m.Progress
	return result
}

// checkWindow counts the window anew and holds it against its bounds.
func (w *world) checkWindow(c *simConn) {
	win := c.step.window
	if win == nil {
		return
	}
	messages, bytes := 0, 0
	for _, e := range win.entries {
		if e.state == unacked {
			messages++
			bytes += int(e.size)
		}
	}
	if messages != win.messages || bytes != win.bytes {
		w.breaks("the window counts %d and %d bytes, holds %d and %d", win.messages, win.bytes, messages, bytes)
	}
	if messages > simRules.Window+c.returned {
		w.breaks("%d messages are unacknowledged", messages)
	}
	if bytes > simRules.WindowBytes && messages > 1 && c.returned == 0 {
		w.breaks("%d bytes are unacknowledged in %d messages", bytes, messages)
	}
}

// rest lets the world come to rest: the store answers, phones are well, and nothing new comes. First what is connected
// must get what it lacks; then every inbox is emptied by a new phone.
func (w *world) rest() {
	w.conn(0) // forgets the closed ones
	for _, c := range w.conns {
		c.full = true
		w.drain(c)
	}
	// Where no hint and no read went wrong, hints alone must have brought everything; else the sweep helps.
	w.settle(w.mishaps, func(c *simConn) {
		for _, m := range c.inbox.messages {
			if !m.Status.Ends() && c.by[m.ID] == nil {
				w.breaks("%s is connected and at rest, and %d of its inbox was never pushed there", c.name(), m.Seq)
			}
		}
	})
	for _, c := range w.conns {
		c.closed = true
	}
	w.conns = nil
	for _, box := range w.inboxes {
		w.connect(box)
	}
	w.settle(true, nil)
	for _, m := range w.byID {
		if !m.Status.Ends() || !m.received && !m.canceled {
			w.breaks("%s/%d is %s at rest, received %t: lost", m.Recipient, m.Seq, m.Status, m.received)
		}
	}
}

// settle runs everything until nothing happens any more; check sees each connection before its phone has acknowledged
// the last of it.
func (w *world) settle(sweep bool, check func(*simConn)) {
	for range 400 {
		if sweep {
			w.sweep()
		}
		for _, c := range slices.Clone(w.conns) {
			for len(c.mailbox) > 0 && w.broken == nil {
				w.deliver(c, 0, false)
			}
			for _, p := range c.pushes {
				if !p.acked && w.broken == nil {
					p.acked = true
					w.acknowledge(c, []esh3ar.MessageID{p.m.ID}, false)
				}
			}
		}
		w.commit(false)
		w.pass(simRules.AckTimeout)
		if w.broken != nil || w.quiet() {
			break
		}
	}
	if check != nil {
		for _, c := range w.conns {
			check(c)
		}
	}
}

func (w *world) quiet() bool {
	for _, c := range w.conns {
		if len(c.mailbox) > 0 || c.step.reading || c.step.behind {
			return false
		}
	}
	return len(w.settles) == 0
}
