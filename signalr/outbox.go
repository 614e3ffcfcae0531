package signalr

import "sync"

// outbox holds what waits to be sent to one client, already framed for its transport, bounded in bytes.
//
// Whoever finds it idle writes to the transport himself; whoever comes while that write runs only appends, and the
// writer takes it along. So a lone push costs one system call and no hand-over to another goroutine, and a busy
// connection gathers many messages into one write. The lock is never held during a write.
type outbox struct {
	conn *Conn

	mu sync.Mutex
	// buf holds bytes from off on; nil when nothing waits. Bytes that a write may be reading are never moved: they are
	// only appended to, or copied to a new array.
	buf      *buffer
	off      int
	progress int64 // when the transport last took bytes, or when the first began to wait
	busy     bool  // a write runs, or the transport will call flush when it takes more
	sealed   bool  // nothing is appended any more
	dead     bool  // the transport is gone: nothing is written any more
	owed     bool  // somebody was told that it is full
	ponged   bool  // a pong may be among the bytes that wait
	notices  uint8 // 0: none; 1: OnWritable runs; 2: it runs, and is to run again
	charged  int16 // steps of Limits.UnreadPerUser; beside the flags it makes the connection no larger
	room     chan struct{}
	later    *backlog  // behind a full outbox, by the server's policy; nil when nothing is
	pong     *nextPong // to the newest ping, while another one waits; nil when there is none
}

// nextPong is a pong that is appended when all that waited before it has gone.
type nextPong struct {
	before int // bytes
	frame  []byte
}

// write appends frames as one message of the transport, or answers ErrFull.
func (o *outbox) write(frames []Frame) error {
	p := o.conn.proto
	n, err := sizeFor(frames, p)
	if err != nil || n == 0 {
		return err
	}
	o.mu.Lock()
	switch {
	case o.sealed:
		o.mu.Unlock()
		return ErrClosed
	case o.fullLocked(n):
		o.owed = true
		o.mu.Unlock()
		return ErrFull
	}
	o.beginLocked(n)
	var messages int64
	for i := range frames {
		o.appendLocked(frames[i].encoded[p.index()], true)
		messages += frames[i].messages(p)
	}
	o.endLocked(messages, n)
	o.unlockAndFlush()
	return nil
}

// put appends one hub message beyond the bound: completions are few, and their number is bounded elsewhere.
func (o *outbox) put(b []byte) error { return o.putOne(b, true) }

// aside is put for what is said on one transport only, and would make no sense on the next: the handshake's reply, pings,
// acknowledgements.
func (o *outbox) aside(b []byte) error { return o.putOne(b, false) }

func (o *outbox) putOne(b []byte, tracked bool) error {
	o.mu.Lock()
	switch {
	case o.sealed:
		o.mu.Unlock()
		return ErrClosed
	case tracked && o.later != nil:
		o.postponeLocked(b)
		o.mu.Unlock()
		return nil
	}
	o.beginLocked(len(b))
	o.appendLocked(b, tracked)
	o.endLocked(1, len(b))
	o.unlockAndFlush()
	return nil
}

// control appends a frame of the transport itself, a WebSocket's pong. While one waits only the newest is kept besides, as
// RFC 6455 5.5.3 allows: a client that pings without end and reads little or nothing costs two.
func (o *outbox) control(frame []byte) {
	o.mu.Lock()
	switch {
	case o.sealed || o.cutLocked():
		o.mu.Unlock()
	case o.ponged:
		if o.pong == nil {
			o.pong = &nextPong{before: o.pendingLocked()}
		}
		o.pong.frame = frame
		o.mu.Unlock()
	default:
		o.pongLocked(frame)
		o.unlockAndFlush()
	}
}

// frame appends a frame of the transport by, unless another transport has taken over or the connection is closing.
func (o *outbox) frame(by link, b []byte) {
	o.mu.Lock()
	if o.sealed || o.cutLocked() || o.conn.link != by {
		o.mu.Unlock()
		return
	}
	o.reserveLocked(len(b))
	o.buf.b = append(o.buf.b, b...)
	o.unlockAndFlush()
}

func (o *outbox) pongLocked(frame []byte) {
	o.reserveLocked(len(frame))
	o.buf.b = append(o.buf.b, frame...)
	o.ponged, o.pong = true, nil
}

// pongsLocked sees to pongs when n bytes have gone.
func (o *outbox) pongsLocked(n int) {
	switch p := o.pong; {
	case p == nil:
		o.ponged = o.ponged && o.pendingLocked() > 0
	case o.sealed: // nothing follows a goodbye
	default:
		if p.before -= n; p.before <= 0 {
			o.pongLocked(p.frame)
		}
	}
}

// seal appends a last message, if any, and the transport's goodbye. Nothing is accepted after it.
func (o *outbox) seal(last []byte, code int) {
	o.mu.Lock()
	if o.sealed {
		o.mu.Unlock()
		return
	}
	o.sealed = true
	o.wakeLocked()
	if o.cutLocked() {
		o.mu.Unlock()
		return
	}
	o.refillLocked(true)
	o.reserveLocked(len(last) + 32)
	if len(last) > 0 {
		o.buf.b = o.conn.link.begin(o.buf.b, len(last))
		o.buf.b = append(o.buf.b, last...)
		o.buf.b = o.conn.link.end(o.buf.b)
		o.conn.server.counters.out(1, len(last))
	}
	o.buf.b = o.conn.link.goodbye(o.buf.b, code)
	o.unlockAndFlush()
}

// kill drops everything. A write that runs at this moment still has its bytes: the buffer does not return to the pool.
func (o *outbox) kill() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.sealed, o.dead, o.busy = true, true, false
	o.buf, o.off, o.later = nil, 0, nil
	o.ponged, o.pong = false, nil
	if o.keepsLocked() {
		o.conn.state.replay = replay{}
	}
	o.chargeLocked()
	o.wakeLocked()
}

// fullLocked reports that there is no room for n bytes more.
func (o *outbox) fullLocked(n int) bool { return o.later != nil || o.crammedLocked(n) }

// crammedLocked is fullLocked for what waits behind the outbox.
func (o *outbox) crammedLocked(n int) bool {
	waiting := o.pendingLocked()
	return waiting > 0 && waiting+n > o.limit() || o.keepsLocked() && o.replayFullLocked(n)
}

// beginLocked begins a message of n bytes.
func (o *outbox) beginLocked(n int) {
	if !o.cutLocked() {
		o.reserveLocked(n + 16)
		o.buf.b = o.conn.link.begin(o.buf.b, n)
	}
}

// appendLocked appends bytes of the message that beginLocked began.
func (o *outbox) appendLocked(b []byte, tracked bool) {
	if !o.cutLocked() {
		o.buf.b = append(o.buf.b, b...)
	}
	if tracked && o.keepsLocked() {
		o.conn.state.replay.add(o.conn.proto, b)
	}
}

// endLocked ends what beginLocked began.
func (o *outbox) endLocked(messages int64, n int) {
	o.conn.server.counters.out(messages, n)
	if !o.cutLocked() {
		o.buf.b = o.conn.link.end(o.buf.b)
		o.conn.times.sent.Store(o.conn.server.now())
	}
}

// unlockAndFlush ends what needed the lock, and writes if nobody does.
func (o *outbox) unlockAndFlush() {
	start := !o.busy && !o.cutLocked()
	grown := o.chargeLocked()
	if start {
		o.busy = true
		o.progress = o.conn.server.now()
	}
	l := o.conn.link
	o.mu.Unlock()
	if start {
		l.flush()
	}
	if grown {
		o.limitUnread()
	}
}

// reserveLocked makes room for n bytes without moving those that wait.
func (o *outbox) reserveLocked(n int) {
	if o.buf == nil {
		o.buf = newBuffer()
	}
	if o.off > 0 && cap(o.buf.b)-len(o.buf.b) < n {
		fresh := make([]byte, 0, 2*(o.pendingLocked()+n))
		o.buf = &buffer{b: append(fresh, o.buf.b[o.off:]...)}
		o.off = 0
	}
}

// advance tells that the link took n bytes and returns what it is to write next, nil when that is nothing.
func (o *outbox) advance(by link, n int) []byte {
	o.mu.Lock()
	if o.dead || o.conn.link != by || o.cutLocked() {
		o.mu.Unlock()
		return nil
	}
	o.off += n
	if n > 0 {
		o.progress = o.conn.server.now()
	}
	o.pongsLocked(n)
	o.refillLocked(false)
	var rest []byte
	if o.buf != nil {
		rest = o.buf.b[o.off:]
	}
	roomy := o.roomyLocked()
	if len(rest) == 0 {
		rest = nil
		o.busy = false
		if o.buf != nil {
			o.buf.free()
		}
		o.buf, o.off = nil, 0
	}
	drained := rest == nil && o.sealed
	o.chargeLocked()
	o.mu.Unlock()
	if roomy {
		o.conn.roomAgain()
	}
	if drained {
		by.drained()
	}
	return rest
}

// roomyLocked wakes who waits when there is room again, and reports whether the connection is to be told.
func (o *outbox) roomyLocked() bool {
	// Half: a connection at the brim would otherwise be told of room for every few bytes.
	roomy := o.owed && o.later == nil && o.pendingLocked() <= o.limit()/2 && (!o.keepsLocked() || o.conn.state.replay.fullSince == 0)
	if roomy {
		o.owed = false
		o.wakeLocked()
	}
	return roomy
}

// keepsLocked reports that what is sent is kept for another transport.
func (o *outbox) keepsLocked() bool { return o.conn.state != nil && o.conn.state.active }

// cutLocked reports that there is no transport now: what is sent is only kept.
func (o *outbox) cutLocked() bool { return o.conn.state != nil && o.conn.state.detached != 0 }

// replayFullLocked reports that no more than n bytes can be kept, and notes since when.
func (o *outbox) replayFullLocked(n int) bool {
	r := &o.conn.state.replay
	if r.size() == 0 || r.size()+n <= o.replayLimit() {
		return false
	}
	if r.fullSince == 0 {
		r.fullSince = o.conn.server.now()
	}
	return true
}

func (o *outbox) replayLimit() int { return o.conn.server.opts.Limits.Replay }

// over reports that more waits than the bound allows, and asks for a notice when that changes.
func (o *outbox) over() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waitingLocked() <= o.limit() && !(o.keepsLocked() && o.replayFullLocked(0)) {
		return false
	}
	o.owed = true
	return true
}

// stalledSince returns since when the transport has taken nothing of what waits, 0 when nothing waits.
func (o *outbox) stalledSince() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pendingLocked() == 0 {
		return 0
	}
	return o.progress
}

// rearm begins the wait for progress anew.
func (o *outbox) rearm(now int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.progress = now
}

// finished reports that the outbox is sealed and empty.
func (o *outbox) finished() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sealed && o.pendingLocked() == 0
}

func (o *outbox) pending() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.waitingLocked()
}

// waitingLocked counts what waits, behind the outbox too.
func (o *outbox) waitingLocked() int {
	if o.later == nil {
		return o.pendingLocked()
	}
	return o.pendingLocked() + o.later.size
}

func (o *outbox) pendingLocked() int {
	if o.buf == nil {
		return 0
	}
	return len(o.buf.b) - o.off
}

func (o *outbox) limit() int { return o.conn.server.opts.Limits.Outbox }
