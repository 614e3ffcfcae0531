package signalr

import (
	"encoding/binary"
	"sync"
)

// probe is the newest question whether a client is there.
type probe struct {
	mu       sync.Mutex
	number   uint64
	answered func() // nil: the newest probe was answered, or there was none
}

// Probe asks the client's transport for a sign of life, and has answered called once when it comes. What was sent before the probe has
// reached the client then, at least its network code: a WebSocket client answers a ping without its application. A client that polls
// answers by the poll behind the one that took all of that. A client of server-sent events cannot be asked, and neither can one whose
// connection is closing or away: answered is never called.
//
// The newest probe counts; an earlier one that was not answered is forgotten. answered runs on the goroutine that reads the connection
// and must be quick. An answer is no message of the client: it changes neither [Conn.LastReceived] nor the end of a silent connection.
func (c *Conn) Probe(answered func()) {
	e := c.extras()
	if e == &noExtras {
		return
	}
	e.probe.mu.Lock()
	e.probe.number++
	e.probe.answered = answered
	number := e.probe.number
	e.probe.mu.Unlock()
	c.transport().probe(number)
}

// probed notes the answer to a probe.
func (c *Conn) probed(number uint64) {
	e := c.more.Load()
	if e == nil || e == &noExtras {
		return
	}
	e.probe.mu.Lock()
	var answered func()
	if number == e.probe.number {
		answered, e.probe.answered = e.probe.answered, nil
	}
	e.probe.mu.Unlock()
	if answered != nil {
		answered()
	}
}

// probe implements link.
func (l *webSocket) probe(number uint64) {
	ping := appendFrameHeader(make([]byte, 0, 10), opPing, 8)
	l.conn.out.frame(l, binary.BigEndian.AppendUint64(ping, number))
}

// pong notes the answer to a ping.
func (l *webSocket) pong(payload []byte) {
	if len(payload) == 8 && !l.conn.replaced(l) {
		l.conn.probed(binary.BigEndian.Uint64(payload))
	}
}

// probe implements link. The hub's ping ends the poll that waits, if nothing else has.
func (l *longPoll) probe(number uint64) {
	l.poll.Lock()
	l.poll.probe = number
	l.poll.Unlock()
	_ = l.conn.out.putUntracked(l.conn.proto.appendPing(nil)) // fails if the connection is closing
}

// polledAgain notes that a poll begins: it answers a probe if the polls before it have taken everything.
func (l *longPoll) polledAgain() {
	l.poll.Lock()
	number := l.poll.probe
	l.poll.Unlock()
	if number == 0 || l.conn.out.pending() > 0 {
		return
	}
	l.poll.Lock()
	if l.poll.probe == number {
		l.poll.probe = 0
	}
	l.poll.Unlock()
	l.conn.probed(number)
}

// probe implements link: nothing in this transport would be answered.
func (l *eventStream) probe(uint64) {}
