package signalr

import (
	"errors"
	"sync"
	"sync/atomic"
)

// Stateful reconnect: a connection that outlives its socket.
//
// A phone that moves from one network to another loses its socket. If both sides agreed on stateful reconnect at negotiate
// and in the handshake, the client opens another WebSocket with the same token and the connection continues: it keeps its
// id, its groups and its running handlers, and OnConnected is not called again. Messages that were in flight are sent
// again. Four invariants hold:
//
//  1. Each tracked message (calls, items, completions and cancellations; not pings, Close, Ack and Sequence) is handled
//     exactly once by its receiver, in the order in which it was sent, across any number of sockets.
//  2. After a new socket has replaced an old one, no event of the old one has an effect: no bytes, no end of input, no
//     failed write, no count of written bytes.
//  3. The replay buffer is bounded, and it is a copy: acknowledging a message while it is being written again does not
//     change the bytes of that write.
//  4. A connection without stateful reconnect pays only for a nil pointer.
//
// The naive way waits for the end of the old socket before it accepts the new one. But the client nearly always notices
// first: its network is gone, while the server sees a dead TCP connection only after a timeout. Microsoft's client tries
// only once, and immediately. Therefore the new socket itself is the signal: the server accepts it while the old one still
// looks alive, and replaces the old one in one step.
//
// Another naive way moves the outbox to the new socket. But the server does not know how many of the bytes that the kernel
// took have arrived. Therefore the outbox (framed for one socket) is discarded and rebuilt from the replay buffer (whole
// hub messages with their numbers): first a Sequence message with the number of the first message that follows, then all
// messages that the client has not acknowledged. Some of these may have arrived; the client drops them by number. The other
// direction works the same way: the server discards input that it has not handled, including partial messages. The client
// sends again what was not acknowledged, and the server acknowledges only what it has handled.
//
// Only Sequence and Ack messages carry numbers; for all other messages, both sides count. The moment of counting is
// therefore part of the protocol. Outgoing messages are counted under the outbox's lock, where their order is decided.
// Incoming messages are counted by the dispatcher as it takes them from the input, on one goroutine at a time.
//
// The states of the link, under life.mu and out.mu together:
//
//	attached --socket lost--> detached --Timeouts.Disconnect--> over
//	   ^  \----------new socket-------/
//	   |_____________/ (the old one is replaced and hung up)
//
// A Close message in either direction, a close frame of the client, Abort and Shutdown end the connection in either state;
// it cannot be resumed afterwards. Events of a link that is not the current one are ignored: each wire passes its link,
// and the outbox compares it with the current one. The dispatcher has its own lock, so a replaced link is marked as retired
// there too, before anything is read from the new one.
//
// While the connection is detached, sends go to the replay buffer only. When that buffer is full, sends behave as with a
// full outbox: Send waits, TrySend returns ErrFull. If no acknowledgement makes room within Timeouts.Acknowledge, the
// connection is closed. The client acknowledges once per second, so Limits.Replay also bounds the bytes that one
// connection can be sent per second.

// stateful is the additional state of a connection that may use stateful reconnect.
type stateful struct {
	// active is set by the handshake. It is guarded by out.mu.
	active bool
	// detached is the time at which the socket was lost, 0 while there is one. cause is the error of the socket, nil if
	// it did not fail. Both are guarded by life.mu. Writing detached requires out.mu as well; reading it requires either.
	detached int64
	cause    error

	arrived atomic.Int64 // number of sockets that the client has requested
	turn    sync.Mutex   // held while one socket takes over from another
	newest  int64        // number of the socket that took over last, guarded by turn
	replay  replay       // guarded by out.mu
	count   struct {
		sync.Mutex
		next     int64 // number of the client's next message
		handled  int64 // highest number that was handled
		told     int64 // highest number that was acknowledged
		repeated bool  // the client has sent a message again, so an acknowledgement was lost
		waiting  bool  // messages are ignored until the client's Sequence
	}
}

var errReplayFull = errors.New("client hasn't acknowledged messages within the configured timeout")

func newStateful() *stateful {
	s := &stateful{replay: replay{first: 1}}
	s.count.next = 1
	return s
}

// tracked reports whether messages of this type are numbered.
func tracked(kind int) bool { return kind >= typeInvocation && kind <= typeCancelInvocation }

// admit counts a message of the client and reports whether it must be handled.
func (c *Conn) admit(m *message) bool {
	if !c.keeping() {
		return true
	}
	switch {
	case m.kind == typeAck:
		c.acknowledged(m.sequence)
		return false
	case m.kind == typeSequence:
		if !c.state.restart(m.sequence) {
			c.end(protocolEnding(dataErrorf("Sequence ID greater than amount of messages we've received.")))
		}
		return false
	case tracked(m.kind):
		return c.state.counted()
	default:
		return true
	}
}

// counted assigns the next number to a tracked message of the client. It returns false if that message was handled before.
func (s *stateful) counted() bool {
	n := &s.count
	n.Lock()
	defer n.Unlock()
	if n.waiting {
		return false // the client sends it again after the Sequence
	}
	number := n.next
	n.next++
	if number <= n.handled {
		n.repeated = true
		return false
	}
	n.handled = number
	return true
}

// restart sets the number of the client's next message from its Sequence. It returns false if messages are missing.
func (s *stateful) restart(sequence int64) bool {
	n := &s.count
	n.Lock()
	defer n.Unlock()
	if sequence > n.handled+1 || sequence < 1 {
		return false
	}
	n.next = sequence
	n.waiting = false
	return true
}

// resumed prepares the counters for the messages of a new socket.
func (s *stateful) resumed() {
	n := &s.count
	n.Lock()
	defer n.Unlock()
	n.waiting = true
	n.repeated = n.handled > 0 // the last acknowledgement may have been lost with the old socket
}

// takeAcknowledgement returns the number to acknowledge, 0 if no acknowledgement is due.
func (s *stateful) takeAcknowledgement() int64 {
	n := &s.count
	n.Lock()
	defer n.Unlock()
	if n.handled == n.told && !n.repeated {
		return 0
	}
	n.told, n.repeated = n.handled, false
	return n.handled
}

// keeping reports whether the connection outlives its socket. The handshake may change it once, from false to true.
func (c *Conn) keeping() bool {
	if c.state == nil {
		return false
	}
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.state.active
}

// acknowledged removes the messages up to sequence, which the client has received, from the replay buffer.
func (c *Conn) acknowledged(sequence int64) {
	o := &c.out
	o.mu.Lock()
	r := &c.state.replay
	if r.forget(sequence) && r.fullSince != 0 {
		r.fullSince = c.server.now()
	}
	if r.size() <= o.replayLimit()/2 {
		r.fullSince = 0
	}
	o.refillLocked(false)
	roomy := o.roomyLocked()
	if o.pendingLocked() > 0 {
		o.unlockAndFlush()
	} else {
		o.mu.Unlock()
	}
	if roomy {
		c.roomAgain()
	}
}

// detach detaches the connection from a link that has ended. It returns false if the connection must end with the link. It
// returns true for a link that is no longer the current one: its end has no effect.
func (c *Conn) detach(l link) bool {
	if c.state == nil {
		return false
	}
	c.life.mu.Lock()
	o := &c.out
	o.mu.Lock()
	switch {
	case c.link != l:
		o.mu.Unlock()
		c.life.mu.Unlock()
		return true
	case !c.state.active || o.sealed || c.life.ending != nil || c.life.endedAt != 0:
		o.mu.Unlock()
		c.life.mu.Unlock()
		return false
	}
	c.state.detached = c.server.time()
	o.buf, o.off = nil, 0 // not returned to the pool: a write may still read the bytes
	o.ponged, o.pong = false, nil
	o.refillLocked(false)
	roomy := o.roomyLocked()
	o.mu.Unlock()
	c.life.mu.Unlock()
	if roomy {
		c.roomAgain()
	}
	return true
}

// handOver moves the connection to another socket, the nth that the client requested, and hangs up the previous one. It
// returns false if the connection can no longer be resumed.
//
// The client may open socket n+1 before handOver is called for socket n, or while it runs. state.turn keeps the steps of
// the two apart: otherwise the input of the newer socket could be discarded instead of that of the older one. An older
// socket, which the client has given up, never replaces a newer one.
func (c *Conn) handOver(l *webSocket, n int64) bool {
	c.state.turn.Lock()
	defer c.state.turn.Unlock()
	if n < c.state.newest {
		return false
	}
	before, ok := c.relink(l)
	if !ok {
		return false
	}
	c.state.newest = n
	c.state.resumed()
	c.in.restart(before)
	c.times.received.Store(c.server.time())
	before.hangUp()
	return true
}

// relink makes l the connection's link and returns the previous one. It returns false if the connection can no longer be
// resumed.
func (c *Conn) relink(l *webSocket) (before *webSocket, ok bool) {
	c.life.mu.Lock()
	defer c.life.mu.Unlock()
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if !c.state.active || o.sealed || c.life.ending != nil || c.life.endedAt != 0 {
		return nil, false
	}
	before, _ = c.link.(*webSocket) // always a WebSocket
	c.link = l
	c.state.detached, c.state.cause = 0, nil
	o.rebuildLocked()
	return before, true
}

// rebuildLocked fills the outbox for a new socket: a Sequence message, then the replay buffer.
func (o *outbox) rebuildLocked() {
	o.buf, o.off = nil, 0
	o.ponged, o.pong = false, nil
	o.busy = true // until the link is attached
	o.progress = o.conn.server.now()
	r := &o.conn.state.replay
	for _, b := range [][]byte{o.conn.proto.appendSequence(nil, r.first), r.bytes()} {
		if len(b) > 0 {
			o.reserveLocked(len(b) + 16)
			o.buf.b = o.conn.link.begin(o.buf.b, len(b))
			o.buf.b = append(o.buf.b, b...)
			o.buf.b = o.conn.link.end(o.buf.b)
		}
	}
}

// restart discards the unhandled input of a replaced socket and marks the socket as retired: its bytes are ignored.
func (d *dispatcher) restart(before *webSocket) {
	d.mu.Lock()
	before.retired = true
	if d.state.pumping {
		d.in = input{} // not returned to the pool: the pumping goroutine still reads its bytes
	} else {
		d.in.tidy(true)
	}
	d.conn.life.partial = 0
	d.chargeLocked()
	d.mu.Unlock()
	d.pump() // reading may resume
}

// replaced reports whether l is no longer the connection's link.
func (c *Conn) replaced(l link) bool {
	return c.state != nil && c.transport() != l
}

// keepFrom handles a failed write on l. If the connection outlives l, it aborts l, whose end then detaches the connection.
// It returns false if the connection must end.
func (c *Conn) keepFrom(l link, err error) bool {
	if c.state == nil || !c.keeping() {
		return false
	}
	c.life.mu.Lock()
	over := c.life.ending != nil || c.life.endedAt != 0
	if !over && !c.replaced(l) {
		c.state.cause = err
	}
	c.life.mu.Unlock()
	if !over {
		l.abort()
	}
	return !over
}

// detachedSince returns the time at which the socket was lost, 0 if there is one, and the cause.
func (c *Conn) detachedSince() (since int64, cause error) {
	if c.state == nil {
		return 0, nil
	}
	c.life.mu.Lock()
	defer c.life.mu.Unlock()
	return c.state.detached, c.state.cause
}

// beatState checks the timeouts of stateful reconnect and acknowledges handled messages. It returns false if no other
// timeout must be checked.
func (c *Conn) beatState(now int64) bool {
	if c.state == nil || !c.keeping() {
		return true
	}
	t := &c.server.opts.Timeouts
	c.out.mu.Lock()
	full := c.state.replay.fullSince
	c.out.mu.Unlock()
	since, cause := c.detachedSince()
	switch {
	case over(now, full, t.Acknowledge):
		c.end(ending{err: errReplayFull, text: closedText, allowReconnect: true, code: closeNormal, status: StatusError})
		return false
	case over(now, since, t.Disconnect):
		status := StatusNormal
		if cause != nil {
			status = StatusError
		}
		c.end(ending{err: cause, silent: true, status: status, peer: !errors.Is(cause, errSendTimeout)})
		return false
	case since != 0:
		return false
	}
	if n := c.state.takeAcknowledgement(); n != 0 {
		_ = c.out.putUntracked(c.proto.appendAck(nil, n)) // fails only if the connection is closing; then the Ack is not needed
	}
	return true
}

// peekLocked handles acknowledgements that arrived after a call without a slot, and reports whether there were any. Without
// it the connection could deadlock: that call, or a running one, may wait for the room that these acknowledgements make.
func (d *dispatcher) peekLocked() (found bool) {
	c := d.conn
	if c.state == nil || !c.keeping() {
		return false
	}
	for d.in.buf != nil {
		size, acknowledged := d.peekOne(d.in.buf.b[d.in.off+d.in.peeked:])
		if size == 0 {
			break
		}
		d.in.peeked += size
		if acknowledged != 0 {
			found = true
			d.mu.Unlock()
			c.acknowledged(acknowledged)
			d.mu.Lock()
		}
	}
	return found
}

// peekOne parses the first message of b. It returns its size, 0 if it is incomplete, and the number that it acknowledges,
// 0 if it is not an Ack.
func (d *dispatcher) peekOne(b []byte) (size int, acknowledged int64) {
	defer d.conn.contain("hub message")
	m := messages.Get().(*message) //nolint:forcetypeassert // the pool holds nothing else
	defer messages.Put(m)
	record, n, err := d.conn.proto.next(b, 0, d.conn.server.opts.Limits.Message)
	if record == nil || err != nil {
		return 0, 0
	}
	if d.conn.proto.parse(record, m) == nil && m.kind == typeAck {
		acknowledged = m.sequence
	}
	return n, acknowledged
}
