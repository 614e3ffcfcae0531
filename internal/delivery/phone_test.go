package delivery

import (
	"errors"
	"slices"
	"time"

	"github.com/esh3artech/esh3ar"
)

// step runs the real state machine and executes its effects.
func (w *simulation) step(c *simConn, ev event, fails bool) {
	if c.closed {
		return
	}
	var fx effects
	s := &c.step
	if (ev.kind == tickEvent || ev.kind == closeEvent) && s.onTrial() {
		d := w.device(c)
		s.applyTerms(&simRules, d.breaker.terms(w.now), w.now, &fx)
	}
	switch ev.kind {
	case openEvent:
		d := w.device(c)
		s.open(&simRules, d.breaker.terms(w.now), w.now, &fx)
	case hintEvent:
		s.hint(&simRules, ev.seq, ev.message, w.now, &fx)
	case ackEvent:
		s.acknowledge(&simRules, ev.ids, ev.read, ev.call, w.now, &fx)
	case upToEvent:
		s.acknowledgeUpTo(&simRules, ev.seq, ev.call, w.now, &fx)
	case pageEvent:
		w.readInbox(ev, fails, func(page *esh3ar.InboxPage, err error) { s.page(&simRules, page, err, w.now, &fx) })
	case settledEvent:
		s.settled(&simRules, ev.result.ticket, ev.result.settled, ev.result.err, w.now, &fx)
	case reloadedEvent:
		m := w.byID[ev.one.id]
		s.reloaded(&simRules, ev.one, &esh3ar.Record{Message: m.Message, Progress: m.Progress}, nil, w.now, &fx)
	case endedEvent:
		s.endedElsewhere(&simRules, ev.ids, ended, w.now, &fx)
	case endedUnackedEvent:
		s.lapsedElsewhere(&simRules, ev.lapsed, w.now, &fx)
	case writableEvent:
		s.writable(&simRules, &fx)
	case sweepEvent:
		s.sweep(&simRules, ev.seq, &fx)
	case tickEvent:
		w.watchPauses(c, func(random func(int64) int64) { s.tick(&simRules, w.now, c.heard, random, &fx) })
	case answeredEvent:
		c.answered = c.asked
		w.watchPauses(c, func(random func(int64) int64) { s.probeAnswered(&simRules, ev.probe, w.now, random) })
	case resumedEvent:
		s.resumed(&simRules, w.now)
	case closeEvent:
		s.close(&simRules, ev.byPeer, w.now, &fx)
	}
	w.carryOut(c, &fx)
	w.checkWindow(c)
	if c.refresh && !c.closed && ev.kind != closeEvent {
		w.end(c, false)
		w.connectTo(c.node, c.inbox, c.device)
	}
}

// watchPauses sends a tick to a session and checks each backoff that begins: before redelivery k it is d = min(cap, base·2^(k−1)), of
// which one half is fixed and the other half random.
func (w *simulation) watchPauses(c *simConn, look func(random func(int64) int64)) {
	s := &c.step
	var before [esh3ar.Priorities]laneTimer
	if s.lanes != nil {
		before = *s.lanes
	}
	share := w.now.UnixMilli() % 5 // of what is random, in quarters; the bound itself is never returned
	look(func(n int64) int64 { return min(n-1, n*share/4) })
	if s.lanes == nil {
		return
	}
	for lane, t := range s.lanes {
		if t.phase != delaying || before[lane].phase == delaying {
			continue
		}
		d := simRules.Backoff.Base
		for range s.window.oldest(esh3ar.Priority(lane)).attempt - 1 {
			d = min(simRules.Backoff.Cap, 2*d)
		}
		want := d/2 + min(d/2-1, d/2*time.Duration(share)/4)
		if got := t.due.Sub(w.now); got != want {
			w.breaks("the pause before repeat %d is %s, the rule says %s", s.window.oldest(esh3ar.Priority(lane)).attempt, got, want)
		}
	}
}

var errSim = errors.New("the store is away")

// readInbox answers a read from a snapshot of the store at the time of the answer or a little earlier.
func (w *simulation) readInbox(ev event, fails bool, answer func(*esh3ar.InboxPage, error)) {
	if fails {
		w.mishaps = true
		answer(&esh3ar.InboxPage{}, errSim)
		return
	}
	answer(&ev.result.page, nil)
}

// pending is the model of a read of the inbox.
func (b *simInbox) pending(q *esh3ar.InboxQuery) (page esh3ar.InboxPage) {
	page.Counter, page.Ended = esh3ar.Seq(len(b.messages)), true
	bytes := 0
	for p := esh3ar.Priorities - 1; p >= 0; p-- {
		if q.Skip[p] {
			page.Ended = false
			continue
		}
		for _, m := range b.messages {
			if m == nil || int(m.Priority) != p || m.Seq <= q.After[p] || m.Status.Ends() {
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

// carryOut executes effects as a worker does, through the simulated network.
func (w *simulation) carryOut(c *simConn, fx *effects) {
	for _, d := range fx.done {
		d.call(d.err)
	}
	for _, st := range fx.settles {
		w.checkSpent(c, &st)
		w.settles = append(w.settles, simSettle{c, c.node, st})
	}
	if len(fx.ended) > 0 {
		w.tell(c.node, c, endedHint(c.inbox.recipient, fx.ended))
	}
	w.tell(c.node, c, endedUnackedHints(c.inbox.recipient, fx.lapsed)...)
	w.judge(c, fx.verdict, fx.culprit)
	c.refresh = c.refresh || fx.refresh
	if fx.probe > 0 {
		c.probe, c.asked = fx.probe, w.now
	}
	if fx.read != nil {
		c.mailbox = append(c.mailbox, event{kind: pageEvent, result: &result{page: c.inbox.pending(fx.read)}})
	}
	for _, one := range fx.reloads {
		c.mailbox = append(c.mailbox, event{kind: reloadedEvent, one: one})
	}
	w.write(c, fx)
}

// judge passes a verdict to the breaker, as a worker does.
func (w *simulation) judge(c *simConn, v verdict, culprit suspect) {
	d := w.device(c)
	if _, closed := d.breaker.apply(&simRules.Breaker, v, culprit, w.now, func(n int64) int64 { return n / 2 }); closed {
		d.breaker, d.failures = breaker{}, 0
		for _, other := range w.conns { // they are off the hook too
			other.judged = other.judged && (other.device != c.device || other.node != c.node)
		}
	}
}

// checkSpent checks that a settlement may count an attempt: the phone was heard and did not acknowledge in time, or it closed
// the connection over a message on trial.
func (w *simulation) checkSpent(c *simConn, st *settlement) {
	for i := range st.changes {
		change := &st.changes[i]
		if change.To != esh3ar.Failed && change.To != esh3ar.Scheduled {
			continue
		}
		push := c.by[pushKey{change.Message, change.Life}]
		switch {
		case push == nil:
			w.breaks("an attempt of what was never pushed here is spent")
		case c.ending && !c.judged:
			w.breaks("%d: the close of a connection spent an attempt, and its device was not on trial", push.seq)
		case !c.ending && change.To == esh3ar.Failed && c.heard <= push.heard:
			w.breaks("%d: an application that said nothing since the push cost a message", push.seq)
		case !c.ending && !c.alive(push):
			w.breaks("%d: an attempt was spent without a sign of life", push.seq)
		case !c.ending && w.now.Sub(push.at) < simRules.AckTimeout:
			w.breaks("%d: an attempt was spent after %s", push.seq, w.now.Sub(push.at))
		}
	}
}

// write simulates the socket.
func (w *simulation) write(c *simConn, fx *effects) {
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
		c.step.redelivered(&simRules, messageLife{fx.repeat.Message.ID, fx.repeat.life}, !c.full, w.now, c.heard, &next)
		w.carryOut(c, &next)
	}
}

// receive handles a batch of first deliveries at the phone.
func (w *simulation) receive(c *simConn, batch Batch) {
	for _, p := range batch.Pushes {
		m, seq := w.byID[p.Message.ID], p.Message.Seq
		key := pushKey{m.ID, c.step.window.find(m.ID).life}
		if c.by[key] != nil {
			w.breaks("%s/%d was pushed twice on one connection and not as a repeat", m.Recipient, seq)
		}
		for _, earlier := range c.pushes {
			if earlier.m.Priority == m.Priority && earlier.seq > seq {
				w.breaks("%s/%d came after %d of the same lane", m.Recipient, seq, earlier.seq)
			}
		}
		if p.Message.Expired(esh3ar.TimeOf(w.now)) {
			w.breaks("%s/%d was pushed after its time", m.Recipient, seq)
		}
		if suspects := w.device(c).breaker.suspects; c.judged && w.now.Before(c.waits) &&
			(len(suspects) == 0 || slices.Contains(suspects, m.Business)) {
			w.breaks("%s/%d was pushed to a device that failed %d times", m.Recipient, seq, w.device(c).failures)
		}
		c.judged = c.judged || c.step.gate == HalfOpen && w.device(c).failures >= simRules.Breaker.Failures
		if c.step.gate == HalfOpen && c.step.window.messages > 1 {
			w.breaks("%s/%d was pushed to a device on trial beside others", m.Recipient, seq)
		}
		if m.Recipient != c.inbox.recipient {
			w.breaks("%s/%d reached %s", m.Recipient, m.Seq, c.inbox.recipient)
		}
		if n := w.unackedIn(c, m.Priority); c.step.backingOff(m.Priority) && n > 2 { // the oldest, and max(1, window/8)
			w.breaks("%s/%d was pushed as number %d while its lane was backing off", m.Recipient, m.Seq, n)
		}
		push := &simPush{m: m, seq: seq, at: w.now, heard: c.heard, attempt: p.Attempt}
		c.pushes, c.by[key] = append(c.pushes, push), push
		c.pushedAt = w.now
		m.received = m.received || !c.deaf
		if m.Life == key.life {
			m.pushes++
		}
		w.note("%s got %d", c.name(), seq)
	}
}

// unackedIn returns the number of unacknowledged messages of a lane.
func (w *simulation) unackedIn(c *simConn, lane esh3ar.Priority) (n int) {
	for _, e := range c.step.window.entries {
		if e.lane == lane && e.state == unacked {
			n++
		}
	}
	return n
}

// receiveRepeat checks that a redelivery was due: the oldest message of its lane, not too early, and after a sign of life.
func (w *simulation) receiveRepeat(c *simConn, p *Push) {
	push := c.by[pushKey{p.Message.ID, p.life}]
	if push == nil {
		w.breaks("a repeat of %d that was never pushed here", p.Message.Seq)
		return
	}
	least := simRules.AckTimeout + simRules.Backoff.Base/2
	if waited := w.now.Sub(push.at); waited < least {
		w.breaks("%d was repeated after %s", push.seq, waited)
	}
	if !c.alive(push) {
		w.breaks("%d was repeated without a sign of life", push.seq)
	}
	if p.Attempt <= push.attempt || p.Attempt > push.m.Attempts {
		w.breaks("%d was repeated as attempt %d after %d, the store has %d", push.seq, p.Attempt, push.attempt, push.m.Attempts)
	}
	if p.Attempt > simRules.Attempts {
		w.breaks("%d was repeated as attempt %d", push.seq, p.Attempt)
	}
	if p.Message.Expired(esh3ar.TimeOf(w.now)) {
		w.breaks("%d was repeated after its time", push.seq)
	}
	push.m.pushes++
	c.pushedAt = w.now
	push.at, push.heard, push.attempt = w.now, c.heard, p.Attempt
	w.note("%s got %d again", c.name(), push.seq)
}

// phoneAcks acknowledges a message that the phone has, or one of another connection.
func (w *simulation) phoneAcks(c *simConn, o op) {
	m := c.inbox.pick(o.b)
	if c.deaf {
		return
	}
	if o.b%8 != 0 && len(c.pushes) > 0 {
		m = c.pushes[o.b/8%uint32(len(c.pushes))].m
	}
	if m == nil || !m.received {
		return
	}
	ids := []esh3ar.MessageID{m.ID}
	w.acknowledge(c, ids, o.kind == opRead)
	if o.kind == opAckTwice {
		w.acknowledge(c, ids, false)
	}
}

// acknowledge makes a call and checks at its completion that the change is durable.
func (w *simulation) acknowledge(c *simConn, ids []esh3ar.MessageID, read bool) {
	w.heard(c, ids)
	w.step(c, event{kind: ackEvent, ids: ids, read: read, call: w.durable(c, ids, read)}, false)
}

func (w *simulation) durable(c *simConn, ids []esh3ar.MessageID, read bool) func(error) {
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
			if m.Recipient != c.inbox.recipient && m.Status.Rank() >= esh3ar.Delivered.Rank() && !m.received {
				w.breaks("a foreign acknowledgement ended %d", m.Seq)
			}
		}
	}
}

// phoneAcksUpTo acknowledges by seq. The phone's own list of first pushes determines the messages that this covers.
func (w *simulation) phoneAcksUpTo(c *simConn, o op) {
	if c.deaf {
		return
	}
	seq := esh3ar.Seq(o.b % uint32(len(c.inbox.messages)+2))
	at := slices.IndexFunc(c.pushes, func(p *simPush) bool { return p.seq == seq })
	var covered []esh3ar.MessageID
	for _, p := range c.pushes[:at+1] {
		covered = append(covered, p.m.ID)
	}
	untouched := w.undelivered(covered)
	before := len(w.settles)
	w.heard(c, covered)
	w.step(c, event{kind: upToEvent, seq: seq, call: w.durable(c, covered, false)}, false)
	for _, st := range w.settles[before:] {
		for _, change := range st.changes {
			if change.To == esh3ar.Delivered && slices.Contains(untouched, change.Message) {
				w.breaks("acknowledging up to %d settles %d, which was not pushed here before it", seq, w.byID[change.Message].Seq)
			}
		}
	}
}

// undelivered returns the messages that are not covered.
func (w *simulation) undelivered(covered []esh3ar.MessageID) (ids []esh3ar.MessageID) {
	for id := range w.byID {
		if !slices.Contains(covered, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// commit makes all waiting settlements durable, or fails all of them.
func (w *simulation) commit(fails bool) {
	jobs := w.settles
	w.settles = nil
	for _, job := range jobs {
		if job.node.paused { // it asks when it wakes up
			w.settles = append(w.settles, job)
			continue
		}
		r := &result{ticket: job.ticket}
		if fails {
			r.err = errSim
			if job.conn != nil {
				job.conn.returned += max(1, len(job.ticket.ids))
			}
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
func (w *simulation) apply(c *esh3ar.Change) esh3ar.Settled {
	m := w.byID[c.Message]
	if m == nil || m.Recipient != c.Recipient {
		return esh3ar.Settled{Message: c.Message}
	}
	result := esh3ar.Settled{Found: true, Message: c.Message, Recipient: m.Recipient, Seq: m.Seq}
	switch {
	case c.Life != 0 && c.Life != m.Life:
	case c.To == esh3ar.Scheduled:
		if m.Attempts == c.Attempt-1 && !m.Status.Ends() {
			m.Attempts, result.Applied = c.Attempt, true
			if m.Attempts > m.pushes+1 {
				w.breaks("%s/%d has %d attempts and was pushed %d times", m.Recipient, m.Seq, m.Attempts, m.pushes)
			}
		}
	case m.CanBecome(esh3ar.Stage{Life: m.Life, Status: c.To}):
		m.Status, result.Applied = c.To, true
		m.Attempts = max(m.Attempts, c.Attempt)
		w.checkEnd(m, c)
	}
	result.Progress = m.Progress
	return result
}

// checkEnd checks that the end of a message has a permitted cause.
func (w *simulation) checkEnd(m *simMessage, c *esh3ar.Change) {
	switch {
	case !c.To.Ends():
	case c.To == esh3ar.Expired:
		if !m.Expired(esh3ar.TimeOf(w.now)) {
			w.breaks("%s/%d expired before its time", m.Recipient, m.Seq)
		}
	case !m.received:
		w.breaks("%s/%d is %s and nobody received it", m.Recipient, m.Seq, c.To)
	case c.To == esh3ar.Failed && (m.Attempts < simRules.Attempts || m.pushes < simRules.Attempts || c.Reason == ""):
		w.breaks("%s/%d failed after %d attempts and %d pushes, reason %q", m.Recipient, m.Seq, m.Attempts, m.pushes, c.Reason)
	}
}

// alive reports whether the phone has shown a sign of life since a push: its application did, or its network code answered a probe.
func (c *simConn) alive(p *simPush) bool { return c.heard > p.heard || c.answered.After(p.at) }

// heard records a sign of life. If it acknowledges a message that was pushed here, the device counts as well.
func (w *simulation) heard(c *simConn, ids []esh3ar.MessageID) {
	c.heard++
	win := c.step.window // it forgets what ended elsewhere long ago; an acknowledgement of that says nothing of the device
	if win != nil && slices.ContainsFunc(ids, func(id esh3ar.MessageID) bool { return win.find(id) != nil }) {
		c.acked = true
		if d := w.device(c); d.breaker.opensAt.IsZero() {
			d.failures = 0
		}
	}
}

// checkWindow counts the entries of the window and compares them with its counters and bounds.
func (w *simulation) checkWindow(c *simConn) {
	win := c.step.window
	if win == nil {
		return
	}
	messages, bytes := 0, 0
	for i, e := range win.entries {
		if e.state == unacked && slices.ContainsFunc(win.entries[i+1:], func(later entry) bool { return later.id == e.id }) {
			w.breaks("%d waits for an acknowledgement, and so does its next life", e.seq)
		}
		if e.state == unacked {
			messages++
			bytes += int(e.size)
		}
	}
	if messages != win.messages || bytes != win.bytes {
		w.breaks("the window counts %d and %d bytes, holds %d and %d", win.messages, win.bytes, messages, bytes)
	}
	for lane := range esh3ar.Priority(esh3ar.Priorities) {
		if e := win.oldest(lane); e != nil && (c.step.lanes == nil || c.step.lanes[lane].phase == idle) {
			w.breaks("%d of lane %s waits for an acknowledgement, and no timer runs", e.seq, lane)
		}
	}
	if c.acked && c.step.gate == HalfOpen && c.step.inbox == caughtUp && messages == 0 {
		w.breaks("a device that acknowledged all there is is on trial")
	}
	if c.judged && !c.acked && c.step.gate == Closed && (c.step.trial == nil || !c.step.trial.avoid) {
		w.breaks("%s is of a device that failed, and is not on trial", c.name())
	}
	if messages > simRules.Window+c.returned {
		w.breaks("%d messages are unacknowledged", messages)
	}
	if bytes > simRules.WindowBytes && messages > 1 && c.returned == 0 {
		w.breaks("%d bytes are unacknowledged in %d messages", bytes, messages)
	}
}
