package delivery

import (
	"sync"
	"time"

	"github.com/esh3artech/esh3ar"
)

// Conn is a phone's connection.
type Conn interface {
	// Push writes a batch at once and never blocks. False means that the connection is full and took nothing; Session.Writable is called
	// when there is room. The connection must not keep the batch.
	Push(b Batch) bool
	// Refresh asks the phone to connect again, and ends the connection. It never blocks.
	Refresh()
	// LastReceived is when the phone's application last sent something, on any clock that only rises.
	LastReceived() int64
	// Probe asks the phone's transport for a sign of life, and has answered called once, from any goroutine, when it comes: what was
	// pushed before has reached the phone then. It may never come.
	Probe(answered func())
}

// ErrBusy is the error of calls that arrive faster than the store can handle them.
var ErrBusy = &esh3ar.Error{Code: esh3ar.Overloaded, Text: "too many calls are running"}

// maxEvents bounds the events that wait in one session. Hints beyond it only leave their seq, and word of what ended
// nothing: before a repeat the store is asked. Calls beyond it are completed with ErrBusy. What comes from our own side
// (results, sweeps) is bounded by what the session asked for.
const maxEvents = 256

// Session is the part of the engine that belongs to one connection.
type Session struct {
	engine *Engine
	conn   Conn
	device Device
	step   session // used by one worker at a time
	mu     struct {
		sync.Mutex
		events    []event
		missed    esh3ar.Seq // highest seq of dropped hints; zero if none
		scheduled bool       // the session is in the ready queue or a worker runs it
		onWheel   bool
		closed    bool
	}
}

// eventKind selects the fields of an event that are set.
type eventKind uint8

const (
	openEvent eventKind = iota
	hintEvent
	ackEvent
	upToEvent
	pageEvent
	settledEvent
	reloadedEvent
	endedEvent
	endedUnackedEvent
	writableEvent
	sweepEvent
	tickEvent
	answeredEvent
	resumedEvent
	closeEvent
)

// event is an event of a session.
type event struct {
	kind    eventKind
	read    bool // ackEvent: the user saw the messages
	byPeer  bool // closeEvent: the phone ended it
	seq     esh3ar.Seq
	probe   uint32    // answeredEvent
	at      time.Time // hintEvent: when it was published
	ids     []esh3ar.MessageID
	one     messageLife   // reloadedEvent
	lapsed  []messageLife // lapsedEvent
	message *esh3ar.Message
	call    func(error)
	result  *result
}

// result is an answer of the store.
type result struct {
	err     error
	page    esh3ar.InboxPage
	record  esh3ar.Record
	ticket  ticket
	settled []esh3ar.Settled
}

// Connect opens a session of a device. Its presence is known before it reads the inbox, so a message stored meanwhile is either in
// that read or hinted to it.
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
	unpushed := s.mu.scheduled || s.step.needsCatchUp // if scheduled, a worker will run it; if not, no worker uses the step and it may be read
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

// Acknowledge settles messages as delivered. done is called once, from any goroutine, when that is durable, or with an
// error if it could not be.
func (s *Session) Acknowledge(ids []esh3ar.MessageID, done func(error)) {
	s.call(event{kind: ackEvent, ids: ids, call: done})
}

// AcknowledgeUpTo settles the message with that seq and all that were first pushed on this connection before it.
func (s *Session) AcknowledgeUpTo(seq esh3ar.Seq, done func(error)) {
	s.call(event{kind: upToEvent, seq: seq, call: done})
}

// MarkAsRead settles messages as delivered and read.
func (s *Session) MarkAsRead(ids []esh3ar.MessageID, done func(error)) {
	s.call(event{kind: ackEvent, ids: ids, read: true, call: done})
}

// Writable must be called when a connection that refused a push has room again.
func (s *Session) Writable() { s.post(event{kind: writableEvent}) }

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

// enqueueHint leaves word of what happened elsewhere: to the inbox, or on another connection.
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
