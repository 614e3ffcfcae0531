package delivery

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/flow"
)

// simRules have small bounds, so that a few steps reach them.
var simRules = Rules{
	Window: 4, WindowBytes: 1000, AckTimeout: 10 * time.Second, Attempts: 3,
	Backoff: flow.Backoff{Base: 5 * time.Second, Cap: 40 * time.Second},
	Breaker: BreakerRules{Failures: 3, Within: 10 * time.Second, Pause: flow.Backoff{Base: 8 * time.Second, Cap: 40 * time.Second}, Patience: 2 * time.Second},
}

const simRecipients = 2

// simulation is the environment of the state machines: a model of the store, the network between the store and the sessions, and phones.
type simulation struct {
	now     time.Time
	ids     uint64
	inboxes [simRecipients]*simInbox
	byID    map[esh3ar.MessageID]*simMessage
	conns   []*simConn
	settles []simSettle // requests that wait for a commit
	tasks   []esh3ar.Task
	devices map[simPhone]*simDevice
	mishaps bool // a hint or a read went wrong: only the sweep knows
	fleet
	notes  []string
	broken error
}

// simInbox is the inbox of one recipient in the model of the store.
type simInbox struct {
	recipient esh3ar.Recipient
	messages  []*simMessage // by seq; nil where a replay left a hole
}

// pick returns one of the messages, or nil.
func (b *simInbox) pick(n uint32) *simMessage {
	if len(b.messages) == 0 {
		return nil
	}
	return b.messages[n%uint32(len(b.messages))]
}

// simPhone is a device from the view of one node.
type simPhone struct {
	node   *simNode
	device Device
}

// simDevice is a phone: its real breaker, and the expected state for comparison.
type simDevice struct {
	breaker  breaker
	failures int       // connections in a row that ended right after a push, without an acknowledgement
	failedAt time.Time // the last of them
}

// simMessage is a stored message.
type simMessage struct {
	esh3ar.Message
	esh3ar.Progress
	received bool // by any phone
	canceled bool
	pushes   int // in this life
}

// simSettle is a settlement that waits for its commit.
type simSettle struct {
	conn *simConn // connection that waits for the result; nil: none
	node *simNode
	settlement
}

// simConn is a connection: the state machine, its event queue, and the phone at the other end.
type simConn struct {
	step     session
	device   Device
	node     *simNode
	inbox    *simInbox
	mailbox  []event
	closed   bool
	deaf     bool // its phone has gone elsewhere, and the node does not know it yet
	full     bool
	returned int       // messages that failed settlements gave back to the window
	judged   bool      // its device had failed too often when it connected
	waits    time.Time // how long it gets nothing then, at least
	acked    bool      // something that was pushed here
	pushedAt time.Time
	ending   bool // its end is being handled
	refresh  bool // the server asked for a new connection
	heard    int64
	probe    uint32     // number of the newest
	asked    time.Time  // when it was sent
	answered time.Time  // when the newest that was answered was sent
	pushes   []*simPush // first pushes, in order
	by       map[pushKey]*simPush
}

// pushKey identifies a push that may happen only once on a connection.
type pushKey struct {
	id   esh3ar.MessageID
	life esh3ar.Life
}

// simPush is a message from the view of the phone.
type simPush struct {
	m       *simMessage
	seq     esh3ar.Seq
	at      time.Time // of the newest push
	heard   int64     // by then
	attempt int
	acked   bool // in the rest at the end
}

func newWorld(s simConfig) *simulation {
	w := &simulation{now: time.UnixMilli(1_700_000_000_000), byID: map[esh3ar.MessageID]*simMessage{}, devices: map[simPhone]*simDevice{}}
	w.fleet.open(s, w.now)
	for i := range w.inboxes {
		w.inboxes[i] = &simInbox{recipient: esh3ar.Recipient(967771000000 + i)}
	}
	return w
}

func (w *simulation) note(format string, args ...any) {
	w.notes = append(w.notes, fmt.Sprintf(format, args...))
}

func (w *simulation) takeNotes() string {
	notes := strings.Join(w.notes, "; ")
	w.notes = nil
	return notes
}

func (w *simulation) breaks(format string, args ...any) {
	if w.broken == nil {
		w.broken = fmt.Errorf(format, args...)
	}
}

// do runs one step of a history.
func (w *simulation) do(o op) {
	if w.calm && mishapKinds[o.kind] {
		return
	}
	if o.kind >= opRoute && o.kind <= opHintLies {
		w.doFleet(o)
		return
	}
	c := w.conn(o.a)
	switch o.kind {
	case opAccept:
		w.accept(o)
	case opConnect:
		w.connect(w.inboxes[o.a%simRecipients], o.b)
	case opSchedule, opMortal:
		w.acceptOne(o)
	case opDue:
		w.due()
	case opCrashLoop:
		w.crashLoop(o)
	case opReplay:
		w.replay(o)
	case opCrash:
		w.crash(w.node(o.b))
	case opTime:
		w.pass(time.Duration(o.a%13_000) * time.Millisecond)
	case opPause:
		w.pause()
	case opSettle, opSettleFails:
		w.commit(o.kind == opSettleFails)
	case opSweep:
		w.sweep()
	case opCancel:
		w.cancel(o)
	default:
		if c != nil {
			w.doConn(c, o)
		}
	}
}

// doConn runs a step of one connection.
func (w *simulation) doConn(c *simConn, o op) {
	switch o.kind {
	case opSilence:
		w.silence(c, o)
	case opClose, opDrop:
		w.end(c, o.kind == opClose && !c.deaf)
	case opEvent:
		w.deliver(c, c.nextEvent(o.b), false)
	case opReadFails:
		w.deliver(c, 0, true)
	case opHintLost, opHintTwice, opHintLate:
		w.mishap(c, o)
	case opAck, opAckTwice, opRead:
		w.phoneAcks(c, o)
	case opSettled:
		w.deliverSettled(c)
	case opAckFails:
		w.ackFails(c)
	case opAckForeign:
		other := w.inboxes[(o.b+1)%simRecipients]
		if m := other.pick(o.b); m != nil && other != c.inbox && !c.deaf {
			w.acknowledge(c, []esh3ar.MessageID{m.ID}, false)
		}
	case opUpTo:
		w.phoneAcksUpTo(c, o)
	case opFill:
		c.full = true
	case opDrain:
		w.drain(c)
	case opPong:
		if !c.deaf {
			c.heard++
		}
	case opAnswer:
		if !c.deaf && c.probe > 0 {
			w.step(c, event{kind: answeredEvent, probe: c.probe}, false)
		}
	default: // the others are steps of the world
	}
}

func (w *simulation) conn(n uint32) *simConn {
	var open, awake []*simConn
	for _, c := range w.conns {
		if !c.closed {
			open = append(open, c)
		}
		if !c.closed && !c.node.paused {
			awake = append(awake, c)
		}
	}
	w.conns = open
	if len(awake) == 0 {
		return nil
	}
	return awake[n%uint32(len(awake))]
}

// nextEvent returns the next event, usually the oldest. Hints may overtake answers of the store, because their path is different.
func (c *simConn) nextEvent(choice uint32) int {
	hint := slices.IndexFunc(c.mailbox, func(ev event) bool { return ev.kind == hintEvent })
	if choice%4 == 0 && hint > 0 {
		return hint
	}
	return 0
}

func (c *simConn) name() string { return fmt.Sprintf("%s.%s", c.node.id, fmt.Sprintf("%p", c)[8:]) }

// accept commits one to three messages of one recipient and sends hints.
func (w *simulation) accept(o op) {
	box := w.inboxes[o.a%simRecipients]
	for range 1 + o.b%3 {
		m := w.newMessage(box, o)
		w.enter(box, m)
		w.hint(w.node(o.a/simRecipients), box, m, true)
	}
}

func (w *simulation) newMessage(box *simInbox, o op) *simMessage {
	w.ids++
	m := &simMessage{}
	m.ID = esh3ar.MessageIDAt(esh3ar.TimeOf(w.now), [10]byte{2: byte(w.ids >> 16), 3: byte(w.ids >> 8), 4: byte(w.ids)})
	m.Recipient, m.Life = box.recipient, 1
	m.Business = simBusiness(o.b >> 4)
	m.Priority = esh3ar.Priority((o.b >> 8) % esh3ar.Priorities)
	m.Content = strings.Repeat("x", int(o.b>>16)%700)
	w.byID[m.ID] = m
	return m
}

// enter assigns the next seq to a message.
func (w *simulation) enter(box *simInbox, m *simMessage) {
	m.Seq, m.Status = esh3ar.Seq(len(box.messages)+1), esh3ar.Queued
	box.messages = append(box.messages, m)
	w.note("%s/%d %s", box.recipient, m.Seq, m.Priority)
}

// hint sends a hint of a stored message to the recipient's connections, with or without the message.
func (w *simulation) hint(n *simNode, box *simInbox, m *simMessage, whole bool) {
	h := enqueuedHint(box.recipient, m.Seq, m.ID, m.Life)
	if whole {
		copied := m.Message
		h = storedHint(&copied)
	}
	w.tell(n, nil, h)
}

func (w *simulation) connect(box *simInbox, device uint32) *simConn {
	return w.connectTo(w.node(device/2), box, Device{Recipient: box.recipient, ID: fmt.Sprint(device % 2)})
}

func (w *simulation) connectTo(n *simNode, box *simInbox, device Device) *simConn {
	c := &simConn{inbox: box, by: map[pushKey]*simPush{}, device: device, node: n}
	c.step.recipient = box.recipient
	d := w.device(c)
	c.judged, c.waits = d.failures >= simRules.Breaker.Failures, d.failedAt.Add(simRules.Breaker.Pause.Base/2)
	w.conns = append(w.conns, c)
	w.note("%s of %s, device %s", c.name(), box.recipient, c.device.ID)
	c.node.opened(c)
	w.step(c, event{kind: openEvent}, false)
	if !c.judged && c.step.gate != Closed {
		w.breaks("%s is on trial after %d failures", c.name(), d.failures)
	}
	return c
}

func (w *simulation) device(c *simConn) *simDevice {
	phone := simPhone{c.node, c.device}
	d := w.devices[phone]
	if d == nil {
		d = &simDevice{}
		w.devices[phone] = d
	}
	return d
}

// end ends a connection, by the phone or by the server.
func (w *simulation) end(c *simConn, byPeer bool) {
	w.note("%s closed, by the phone: %t", c.name(), byPeer)
	c.ending = byPeer
	if d := w.device(c); byPeer && !c.acked && !c.pushedAt.IsZero() && w.now.Sub(c.pushedAt) <= simRules.Breaker.Within {
		// A connection from before the breaker opened is no new evidence, nor is a push in flight when another one opened it.
		if d.failures < simRules.Breaker.Failures || c.judged && d.breaker.state(w.now) != Open {
			d.failedAt = w.now
		}
		d.failures++
	}
	w.step(c, event{kind: closeEvent, byPeer: byPeer}, false)
	c.closed = true
	c.node.closed(c)
}

// silence simulates a phone that is connected but acknowledges nothing for some time.
func (w *simulation) silence(c *simConn, o op) {
	if c.deaf {
		return
	}
	for range 1 + o.b%12 {
		c.heard++
		w.pass(simRules.AckTimeout + time.Duration(o.b>>8%10_000)*time.Millisecond)
		for range 6 {
			w.deliver(c, 0, false)
		}
		if o.b>>4%3 != 0 {
			w.commit(false)
		}
	}
}

// crashLoop simulates an app that crashes over messages and restarts at once. It crashes over all messages, or over those of one
// business; then it acknowledges the others.
func (w *simulation) crashLoop(o op) {
	poison := simBusiness(o.b >> 20)
	for range 1 + o.b%5*(1+o.b>>16%2*2) {
		c := w.connect(w.inboxes[o.a%simRecipients], o.a/simRecipients)
		crashes, acked := o.b>>16%2 == 0, 0
		for range 3 {
			w.deliver(c, 0, false)
			for _, p := range slices.Clone(c.pushes[acked:]) {
				crashes = crashes || p.m.Business == poison
				if !crashes && !c.closed {
					acked++
					w.acknowledge(c, []esh3ar.MessageID{p.m.ID}, false)
				}
			}
		}
		if crashes && !c.closed {
			w.end(c, true)
		}
		w.pass(time.Duration(o.b>>8%5_000) * time.Millisecond)
	}
	w.connect(w.inboxes[o.a%simRecipients], o.a/simRecipients)
}

// crash discards all state of a node that is not committed.
func (w *simulation) crash(n *simNode) {
	of := func(c *simConn) bool { return c != nil && c.node == n }
	for _, c := range w.conns {
		c.closed = c.closed || of(c)
	}
	w.conns = slices.DeleteFunc(w.conns, of)
	w.settles = slices.DeleteFunc(w.settles, func(st simSettle) bool { return of(st.conn) })
	for phone := range w.devices {
		if phone.node == n {
			delete(w.devices, phone)
		}
	}
	w.restart(n)
}

func (w *simulation) pass(d time.Duration) {
	w.now = w.now.Add(d)
	for _, c := range w.conns {
		if due := c.step.due(); !c.node.paused && !due.IsZero() && !due.After(w.now) {
			w.step(c, event{kind: tickEvent}, false)
		}
	}
	w.renew()
}

// pause pauses all processes for a minute.
func (w *simulation) pause() {
	w.now = w.now.Add(time.Minute)
	for _, n := range w.nodes {
		if !n.paused {
			w.resume(n)
		}
	}
	w.renew()
}

// resume ends a pause of a node. Phones could not be heard during the pause, so no timer may expire because of it.
func (w *simulation) resume(n *simNode) {
	for _, c := range w.conns {
		if c.node != n {
			continue
		}
		w.step(c, event{kind: resumedEvent}, false)
		var before [esh3ar.Priorities]laneTimer
		if c.step.lanes != nil {
			before = *c.step.lanes
		}
		w.step(c, event{kind: tickEvent}, false)
		for lane, t := range before {
			if (t.phase == awaiting || t.phase == probing) && c.step.backingOff(esh3ar.Priority(lane)) {
				w.breaks("a pause of the process was counted as the phone's")
			}
		}
	}
}

func (w *simulation) sweep() {
	for _, c := range slices.Clone(w.conns) {
		if !c.node.paused {
			w.step(c, event{kind: sweepEvent, seq: esh3ar.Seq(len(c.inbox.messages))}, false)
		}
	}
}

// cancel cancels a message in the store and hints it to the sessions.
func (w *simulation) cancel(o op) {
	box := w.inboxes[o.a%simRecipients]
	m := box.pick(o.b)
	if m == nil || m.Status.Rank() >= esh3ar.Sent.Rank() {
		return
	}
	m.Status, m.canceled = esh3ar.Canceled, true
	w.tell(w.node(o.b), nil, endedUnackedHints(box.recipient, []messageLife{{m.ID, m.Life}})...)
}

// mishap drops, duplicates or delays a hint.
func (w *simulation) mishap(c *simConn, o op) {
	w.mishaps = true
	for i, ev := range c.mailbox {
		if ev.kind != hintEvent {
			continue
		}
		switch o.kind {
		case opHintLost:
			c.mailbox = slices.Delete(c.mailbox, i, i+1)
		case opHintTwice:
			c.mailbox = append(c.mailbox, ev)
		default:
			c.mailbox = append(slices.Delete(c.mailbox, i, i+1), ev)
		}
		return
	}
}

// deliver passes the next event to the session.
func (w *simulation) deliver(c *simConn, at int, fails bool) {
	if at >= len(c.mailbox) {
		return
	}
	ev := c.mailbox[at]
	c.mailbox = slices.Delete(c.mailbox, at, at+1)
	w.step(c, ev, fails)
}

// deliverSettled passes the oldest result of a settlement to the session, before all other waiting events.
func (w *simulation) deliverSettled(c *simConn) {
	at := slices.IndexFunc(c.mailbox, func(ev event) bool { return ev.kind == settledEvent })
	if at >= 0 {
		w.deliver(c, at, false)
	}
}

// ackFails acknowledges all messages of the phone and fails the commit. The result overtakes the read that the freed window allowed, so
// the page arrives when the window is full again.
func (w *simulation) ackFails(c *simConn) {
	if c.deaf {
		return
	}
	var ids []esh3ar.MessageID
	for _, p := range c.pushes {
		ids = append(ids, p.m.ID)
	}
	if len(ids) == 0 {
		return
	}
	w.acknowledge(c, ids, false)
	w.commit(true)
	w.deliverSettled(c)
	w.deliver(c, 0, false)
}

func (w *simulation) drain(c *simConn) {
	if c.full {
		c.full = false
		w.step(c, event{kind: writableEvent}, false)
	}
}

// simBusiness returns one of three businesses.
func simBusiness(n uint32) (id esh3ar.BusinessID) {
	id.UUID[len(id.UUID)-1] = byte(n % 3)
	return id
}
