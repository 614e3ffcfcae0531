package delivery

import (
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
)

// Conn is a phone's connection.
type Conn interface {
	// Push writes a batch in one piece and never blocks. It returns false if the connection is full; then nothing was written, and the
	// connection calls Session.Writable when there is room. Push must not retain the batch.
	Push(b Batch) bool
	// Refresh asks the phone to connect again, and ends the connection. It never blocks.
	Refresh()
	// LastReceived returns the time at which the phone's application last sent something. Any monotonic clock will do.
	LastReceived() int64
	// Probe asks the phone's transport for a sign of life and calls answered once, from any goroutine, when it arrives: everything
	// that was pushed before has reached the phone then. The answer may never arrive.
	Probe(answered func())
}

// ErrBusy is the error of calls that arrive faster than the store can handle them.
var ErrBusy = &esh3ar.Error{Code: esh3ar.Overloaded, Text: "too many calls are running"}

// maxEvents bounds the hints, notices and calls that wait in one session. Of a hint beyond it only the seq is kept. A notice
// of an ended message is dropped, because a redelivery reads the store first. A call is completed with ErrBusy. Results and
// sweeps do not count: the requests of the session bound them.
const maxEvents = 256

// Session is the part of the engine that belongs to one connection.
type Session struct {
	engine *Engine
	conn   Conn
	device Device
	step   session // used by one worker at a time
	mu     struct {
		sync.Mutex
		events    []event    // waiting events, oldest first
		missed    esh3ar.Seq // highest seq of dropped hints; zero if none
		scheduled bool       // the session is in the ready queue or a worker runs it
		onWheel   bool       // the session is on the timer wheel
		closed    bool       // Close was called; nothing is pushed any more
	}
}

// eventKind selects the fields of an event that are set.
type eventKind uint8

const (
	openEvent         eventKind = iota // the connection opened
	hintEvent                          // a message was stored: seq, and message if it is known
	ackEvent                           // the phone acknowledged messages: ids, call
	upToEvent                          // the phone acknowledged up to a message: seq, call
	pageEvent                          // a read of the inbox ended: result
	settledEvent                       // a settlement ended: result
	reloadedEvent                      // a read of one message ended: one, result
	endedEvent                         // messages were acknowledged on another connection: ids
	endedUnackedEvent                  // messages ended without a receipt: lapsed
	writableEvent                      // the connection has room again
	sweepEvent                         // the sweep read the recipient's counter: seq
	tickEvent                          // a timer is due
	answeredEvent                      // the phone answered a probe: probe
	resumedEvent                       // the process runs again after a pause
	closeEvent                         // the connection ended: byPeer
)

// event is an event of a session.
type event struct {
	kind    eventKind
	read    bool // ackEvent: the user has seen the messages
	byPeer  bool // closeEvent: the phone, not this node, ended the connection
	seq     esh3ar.Seq
	probe   uint32    // answeredEvent: number of the probe
	at      time.Time // hintEvent: time of the hint
	ids     []esh3ar.MessageID
	one     messageLife   // reloadedEvent
	lapsed  []messageLife // endedUnackedEvent
	message *esh3ar.Message
	call    func(error)
	result  *result
}

// result is the result of a read or a settlement. Only the fields of its event's kind are set.
type result struct {
	err     error
	page    esh3ar.InboxPage
	record  esh3ar.Record
	ticket  ticket
	settled []esh3ar.Settled
}

// Connect opens a session of a device. The session is registered before it reads the inbox, so a message that is stored
// meanwhile is part of that read, or hinted to the session, or both.
func (e *Engine) Connect(d Device, conn Conn) *Session {
	s := &Session{engine: e, conn: conn, device: d}
	s.step.recipient = d.Recipient
	first := e.sessions.Add(d.Recipient, s)
	e.stats.sessions.Add(1)
	s.post(event{kind: openEvent})
	if first && e.cluster != nil {
		e.cluster.remote.Changed(d.Recipient)
	}
	return s
}

// Close ends a session. byPeer reports that the phone, and not this node, ended the connection, or that the phone disappeared.
// Unacknowledged messages stay in the inbox. Further calls have no effect.
func (s *Session) Close(byPeer bool) {
	s.mu.Lock()
	was := s.mu.closed
	s.mu.closed = true
	unpushed := s.mu.scheduled || s.step.inbox != caughtUp // if scheduled, a worker will run it; if not, no worker uses the step and it may be read
	s.mu.Unlock()
	if was {
		return
	}
	if unpushed {
		s.engine.missedStatuses.markDirty()
	}
	last := s.engine.sessions.Remove(s.step.recipient, s)
	s.engine.stats.sessions.Add(-1)
	s.post(event{kind: closeEvent, byPeer: byPeer})
	if last && s.engine.cluster != nil {
		s.engine.cluster.remote.Changed(s.step.recipient)
	}
}

// Acknowledge settles messages as delivered. done is called once, from any goroutine: with nil when the change is durable,
// or with an error if it is not.
func (s *Session) Acknowledge(ids []esh3ar.MessageID, done func(error)) {
	s.call(event{kind: ackEvent, ids: ids, call: done})
}

// AcknowledgeUpTo settles the message with the given seq and all messages that were first pushed on this connection before it.
func (s *Session) AcknowledgeUpTo(seq esh3ar.Seq, done func(error)) {
	s.call(event{kind: upToEvent, seq: seq, call: done})
}

// MarkAsRead settles messages as delivered and read.
func (s *Session) MarkAsRead(ids []esh3ar.MessageID, done func(error)) {
	s.call(event{kind: ackEvent, ids: ids, read: true, call: done})
}

// Writable must be called when a connection that refused a push has room again.
func (s *Session) Writable() { s.post(event{kind: writableEvent}) }

// call adds an event with a call of the phone. If no worker runs the session, the calling goroutine runs it.
func (s *Session) call(ev event) {
	s.mu.Lock()
	full := len(s.mu.events) >= maxEvents
	s.mu.Unlock()
	if full {
		ev.call(ErrBusy)
		return
	}
	if s.enqueue(ev) { // this goroutine serves a call of the phone, so it can run the session
		w := s.engine.workerPool.Get().(*worker) //nolint:forcetypeassert // the pool holds nothing else
		w.run(s)
		s.engine.workerPool.Put(w)
	}
}

// enqueueHint adds a hint, or a notice from another connection. It drops the event if the session has maxEvents of them;
// the seq of a dropped hint is kept.
func (s *Session) enqueueHint(ev event) {
	s.mu.Lock()
	full := len(s.mu.events) >= maxEvents
	if full && ev.kind == hintEvent {
		s.mu.missed = max(s.mu.missed, ev.seq)
	}
	s.mu.Unlock()
	if !full {
		s.post(ev)
	}
}

// post adds an event and schedules the session.
func (s *Session) post(ev event) {
	if s.enqueue(ev) {
		s.engine.ready.add(s)
	}
}

// enqueue adds an event. It reports whether no worker has the session, so that the caller must schedule it.
func (s *Session) enqueue(ev event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.events = append(s.mu.events, ev)
	wake := !s.mu.scheduled
	s.mu.scheduled = true
	return wake
}

// take returns the waiting events, or releases the session from its worker if there are none.
func (s *Session) take(spare []event) (events []event, missed esh3ar.Seq, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	events, missed = s.mu.events, s.mu.missed
	if len(events) == 0 && missed == 0 {
		s.mu.scheduled = false
		s.mu.events = nil // an idle session holds no buffer
		return nil, 0, s.mu.closed
	}
	s.mu.events, s.mu.missed = spare, 0
	return events, missed, s.mu.closed
}
