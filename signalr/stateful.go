package signalr

import (
	"errors"
	"sync"
	"sync/atomic"
)

// Stateful reconnect: a connection that outlives its socket.
//
// A phone that walks from one network into the next loses its socket, not its place. If both sides agreed on it at
// negotiate and in the handshake, the client opens another WebSocket with the same token, and the connection goes on:
// same id, same groups, same handlers still running, no OnConnected. What was on its way is sent again. Four things
// must hold whatever the timing:
//
//  1. Each tracked message (calls, items, completions, cancellations; not pings, Close, nor the messages of this
//     machinery) is handled exactly once by its receiver, in the order in which it was sent, across any number of sockets.
//  2. Nothing of an old socket reaches the connection once a new one has taken its place: no bytes, no end of input, no
//     failed write, no count of bytes that were written.
//  3. What is kept for sending again is bounded, and it is a copy: acknowledging a message while it is being written
//     again takes no bytes away from that write.
//  4. A connection that does not use this pays a nil pointer.
//
// The naive way waits for the old socket's end and then lets the new one in. But the client notices first, nearly always:
// its network has gone, and the server's side of a dead TCP connection stays silent until a timeout. Microsoft's client
// tries only once, at once. So the new socket is the notice: it is accepted while the old one still looks alive, and
// replaces it in one step.
//
// The other naive way gives the new socket the outbox as it stands. But nobody knows how much of what the kernel took has
// arrived. So the outbox (framed, for one socket) is thrown away, and rebuilt from the replay buffer (whole hub messages,
// with their numbers): first a Sequence message that says with which number it begins, then all that the client has not
// acknowledged. That may be too much, and the client drops what it has seen, by number. In the other direction this is
// the same with the roles exchanged: input that was received and not handled is thrown away, half messages with it, for
// the client sends again what was not acknowledged, and only what was handled is.
//
// Numbers are never sent but in Sequence and Ack: both sides count. That makes the moment of counting part of the
// protocol. Outgoing messages are counted under the outbox's lock, where their order is decided. Incoming ones are
// counted by the dispatcher as it takes them from the input, on one goroutine at a time.
//
// The states of the link, under life.mu and out.mu together:
//
//	attached --socket lost--> detached --Timeouts.Disconnect--> over
//	   ^  \----------new socket-------/
//	   |_____________/ (the old one is replaced and hung up)
//
// A Close in either direction, a close frame of the client, Abort and Shutdown end the connection from either state, and
// then there is nothing to come back to. What arrives from a link that is not the current one is ignored: each wire
// says which link it serves, and the outbox compares. The dispatcher has a lock of its own, so a retired link is marked
// there too, before anything is read from the new one.
//
// While detached, sends go to the replay buffer only. When that is full they are refused as with a full outbox (Send waits,
// TrySend says ErrFull), and if no acknowledgement makes room for Timeouts.Acknowledge the connection is closed. Since
// the client acknowledges once per second, Limits.Replay is also what one connection can be sent per second.

// stateful is what such a connection has on top of others.
type stateful struct {
	// active is set by the handshake, under out.mu.
	active bool
	// detached is when the socket was lost, 0 while there is one; cause is why it failed, if it did. Under life.mu and,
	// for detached, out.mu too: one of the two is enough for reading.
	detached int64
	cause    error

	arrived atomic.Int64 // sockets that were asked for
	turn    sync.Mutex   // held while one socket takes over from another
	newest  int64        // the number of the one that has taken over last, under turn
	replay  replay       // under out.mu
	count   struct {
		sync.Mutex
		next     int64 // number of the client's next message
		handled  int64 // highest number that was handled
		told     int64 // highest number that was acknowledged
		repeated bool  // the client has sent a message again, so it misses an acknowledgement
		waiting  bool  // nothing counts before the client's Sequence
	}
}

var errReplayFull = errors.New("client hasn't acknowledged messages within the configured timeout")

func newStateful() *stateful {
	s := &stateful{replay: replay{first: 1}}
	s.count.next = 1
	return s
}

// tracked reports whether messages of a type are numbered.
func tracked(kind int) bool { return kind >= typeInvocation && kind <= typeCancelInvocation }

// admit counts a message of the client and reports whether it is to be handled.
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

// counted gives the client's next tracked message its number. It returns false for one that was handled before.
func (s *stateful) counted() bool {
	n := &s.count
	n.Lock()
	defer n.Unlock()
	if n.waiting {
		return false // it will come again, behind the Sequence
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

// restart takes the number of the client's next message from its Sequence, false if there are missing ones.
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

// resumed begins a new socket's part of the client's stream.
func (s *stateful) resumed() {
	n := &s.count
	n.Lock()
	defer n.Unlock()
	n.waiting = true
	n.repeated = n.handled > 0 // the last acknowledgement may have been lost with the old socket
}

// owed returns the acknowledgement that is due, 0 for none.
func (s *stateful) owed() int64 {
	n := &s.count
	n.Lock()
	defer n.Unlock()
	if n.handled == n.told && !n.repeated {
		return 0
	}
	n.told, n.repeated = n.handled, false
	return n.handled
}

// keeping reports whether the connection outlives its socket. It may change once, from false, by the handshake.
func (c *Conn) keeping() bool {
	if c.state == nil {
		return false
	}
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.state.active
}

// acknowledged forgets what the client has received.
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

// detach keeps the connection when its link has gone, if it may. It also reports true for a link that is not the current
// one any more, whose end says nothing.
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
	o.buf, o.off = nil, 0 // a write may still have the bytes: not for the pool
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

// handOver gives the connection another socket, the nth that was asked for, and hangs up the one before. It fails when there is
// nothing to come back to. A client that was answered may open the next one before this is called, or while it runs. Then the steps
// of the two must not mix, or the second one's input is thrown away in place of the first one's; and the first one, which the client
// has given up, must not replace the second.
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

// relink makes l the connection's link, and returns the one before. It fails when there is nothing to come back to.
func (c *Conn) relink(l *webSocket) (before *webSocket, ok bool) {
	c.life.mu.Lock()
	defer c.life.mu.Unlock()
	o := &c.out
	o.mu.Lock()
	defer o.mu.Unlock()
	if !c.state.active || o.sealed || c.life.ending != nil || c.life.endedAt != 0 {
		return nil, false
	}
	before, _ = c.link.(*webSocket) // it always is one
	c.link = l
	c.state.detached, c.state.cause = 0, nil
	o.rebuildLocked()
	return before, true
}

// rebuildLocked fills the outbox for a new socket: where the replay begins, and the replay.
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

// restart throws away what an old socket has left, and lets it in no more.
func (d *dispatcher) restart(before *webSocket) {
	d.mu.Lock()
	before.retired = true
	if d.state.pumping {
		d.in = input{} // somebody looks at its bytes: not for the pool
	} else {
		d.in.tidy(true)
	}
	d.conn.life.partial = 0
	d.chargeLocked()
	d.mu.Unlock()
	d.pump() // reading may go on
}

// replaced reports whether l is not the connection's link any more.
func (c *Conn) replaced(l link) bool {
	return c.state != nil && c.transport() != l
}

// keepFrom decides on a link whose write failed: a connection that outlives it is told by its end. It reports false when
// the connection has to end.
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

// detachedSince returns when the socket was lost, 0 if it was not, and why.
func (c *Conn) detachedSince() (since int64, cause error) {
	if c.state == nil {
		return 0, nil
	}
	c.life.mu.Lock()
	defer c.life.mu.Unlock()
	return c.state.detached, c.state.cause
}

// beatState looks at what only such a connection has. It reports false when nothing else is to be looked at.
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
	if n := c.state.owed(); n != 0 {
		_ = c.out.aside(c.proto.appendAck(nil, n)) // the connection is closing: nobody counts any more
	}
	return true
}

// peekLocked takes the acknowledgements that lie behind a call without a slot, and reports whether there were any: the
// call, or the one that runs, may wait for the very room that they make.
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

// peekOne looks at the first message of b. It returns its size, 0 if it is not whole, and what it acknowledges, 0 if it is
// something else.
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
