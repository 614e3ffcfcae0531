package delivery

import (
	"slices"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
)

// rest runs the simulation until it is idle: the store answers, the phones acknowledge, and no new message arrives. First the connected
// phones must receive all missing messages. Then a new phone empties every inbox.
func (w *simulation) rest() {
	w.quieten()
	w.makeGood()
	if len(w.fleet.nodes) > 1 {
		w.probe()
	}
	// If no hint and no read failed, hints alone must have delivered everything. Otherwise the sweep helps.
	w.settle(w.mishaps, func(c *simConn) {
		for _, m := range c.inbox.messages {
			if m != nil && !m.Status.Ends() && c.by[pushKey{m.ID, m.Life}] == nil {
				w.breaks("%s is connected and at rest, and %d of its inbox was never pushed there", c.name(), m.Seq)
			}
		}
	})
	if len(w.fleet.nodes) > 1 {
		w.pass(presence.RenewInterval)
		w.checkPresence(true)
	}
	for _, c := range w.conns {
		w.end(c, false)
	}
	w.conns = nil
	w.pass(time.Minute) // whatever is scheduled is due
	w.due()
	for i, box := range w.inboxes {
		w.connect(box, uint32(i))
	}
	w.settle(true, nil)
	for _, m := range w.byID {
		if !m.Status.Ends() || !m.received && !m.canceled && m.Status != esh3ar.Expired {
			w.breaks("%s/%d is %s at rest, received %t: lost", m.Recipient, m.Seq, m.Status, m.received)
		}
	}
}

// quieten ends all faults: every node runs, and every connection has its phone and room.
func (w *simulation) quieten() {
	for _, n := range w.fleet.nodes {
		w.wake(n)
	}
	for _, c := range w.conns {
		if c.deaf {
			w.end(c, false)
		}
	}
	w.conn(0) // forgets the closed ones
	for _, c := range w.conns {
		c.full = true
		w.drain(c)
	}
}

// makeGood delivers, without letting time pass, every message whose lane is not held. After a failure, one round of the sweep
// must achieve it, without any traffic between the nodes. Without a failure, the traffic in flight must, without the sweep.
func (w *simulation) makeGood() {
	w.due()
	if w.mishaps {
		w.cut()
		w.sweep()
	}
	for range 100 {
		w.hearAll()
		w.acknowledgeAll()
		w.commit(false)
		if !w.mishaps {
			w.converge()
		}
		if w.broken != nil || w.still() && (w.mishaps || w.converged()) {
			break
		}
	}
	for _, c := range w.conns {
		for _, m := range c.inbox.messages {
			if m != nil && !m.Status.Ends() && c.by[pushKey{m.ID, m.Life}] == nil && c.step.gate == Closed && !c.step.passes(&m.Message) && !c.step.laneHeld(&simRules, m.Priority) {
				w.breaks("%s had one round of the sweep, or needed none, and %d of its inbox was never pushed there", c.name(), m.Seq)
			}
		}
	}
}

// hearAll delivers the waiting events of all sessions.
func (w *simulation) hearAll() {
	for _, c := range slices.Clone(w.conns) {
		for n := 0; len(c.mailbox) > 0 && w.broken == nil; n++ {
			w.deliver(c, 0, false)
			if n > 10_000 {
				w.breaks("%s has no end of events", c.name())
			}
		}
	}
}

// acknowledgeAll makes all phones acknowledge their messages.
func (w *simulation) acknowledgeAll() {
	for _, c := range slices.Clone(w.conns) {
		for _, p := range c.pushes {
			if !p.acked && w.broken == nil {
				p.acked = true
				w.acknowledge(c, []esh3ar.MessageID{p.m.ID}, false)
			}
		}
	}
}

// settle runs the simulation until no event is left. It calls check for each connection before its phone acknowledges the last
// message.
func (w *simulation) settle(sweep bool, check func(*simConn)) {
	for range 400 {
		w.due()
		if sweep {
			w.sweep()
		}
		w.converge()
		w.hearAll()
		w.acknowledgeAll()
		w.commit(false)
		w.pass(simRules.AckTimeout)
		if w.broken != nil || w.still() && w.converged() {
			break
		}
	}
	if check != nil {
		for _, c := range w.conns {
			check(c)
		}
	}
}

// still reports whether no session has work to do.
func (w *simulation) still() bool {
	for _, c := range w.conns {
		if len(c.mailbox) > 0 || c.step.inbox != caughtUp {
			return false
		}
		if t := c.step.trial; t != nil && t.passed != [esh3ar.Priorities]esh3ar.Seq{} {
			return false
		}
	}
	return len(w.settles) == 0
}
