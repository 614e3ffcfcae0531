package signalr

import "sync"

// outbox is the send queue of one client. Its messages are already framed for the transport, and it is bounded in bytes.
//
// A sender that finds the outbox idle writes to the transport itself. A sender that finds a write in progress only appends
// its message, and the writer sends it next. A single push therefore costs one system call and no hand-over to another
// goroutine, and a busy connection batches many messages into one write. The lock is never held during a write.
type outbox struct {
	conn *Conn

	mu sync.Mutex
	// buf holds the bytes to send from off on; it is nil if none wait. A concurrent write may be reading these bytes, so
	// they are never moved: new bytes are appended, or all are copied to a new array.
	buf      *buffer
	off      int
	progress int64 // time at which the transport last took bytes, or at which the first byte began to wait
	busy     bool  // a write is in progress, or the transport will call flush when it can take more
	sealed   bool  // no more appends
	dead     bool  // the transport has failed; no more writes
	owed     bool  // a sender got ErrFull and must be notified when there is room
	ponged   bool  // the bytes that wait may include a pong
	notices  uint8 // 0: OnWritable does not run; 1: it runs; 2: it runs and must run again
	charged  int16 // steps counted against Limits.UnreadPerUser; placed after the flags, where it fills padding
	room     chan struct{}
	later    *backlog  // messages behind a full outbox, by the server's SlowPolicy; nil if none
	pong     *nextPong // pong to the newest ping while an earlier pong waits; nil if none
}

// nextPong is a pong that is appended after all bytes that waited before it have been written.
type nextPong struct {
	before int // bytes still to be written before the pong
	frame  []byte
}

// write appends frames as one message of the transport. It returns ErrFull if there is no room for them.
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

// put appends one hub message even if the outbox is full. Completions use it: the limits on open calls bound their number.
func (o *outbox) put(b []byte) error { return o.putOne(b, true) }

// putUntracked is put for messages that belong to the current transport and are not replayed on the next one: the handshake
// response, pings and acknowledgements.
func (o *outbox) putUntracked(b []byte) error { return o.putOne(b, false) }

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

// control appends a control frame of the transport, a WebSocket pong. While a pong waits, only the newest further one is
// kept, as RFC 6455, section 5.5.3 allows. A client that floods pings without reading therefore costs two pongs.
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

// frame appends a frame of the transport by. It does nothing if another transport has taken over or the connection is
// closing.
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

// pongsLocked updates the state of pongs after n bytes were written.
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

// seal appends the last message, if any, and the closing frame of the transport. Later appends fail.
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

// kill drops everything. The buffer does not return to the pool, because a concurrent write may still read it.
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

// fullLocked reports whether there is no room for n more bytes.
func (o *outbox) fullLocked(n int) bool { return o.later != nil || o.crammedLocked(n) }

// crammedLocked is fullLocked for messages of the backlog, which themselves do not count.
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

// endLocked ends the message that beginLocked began, and counts it.
func (o *outbox) endLocked(messages int64, n int) {
	o.conn.server.counters.out(messages, n)
	if !o.cutLocked() {
		o.buf.b = o.conn.link.end(o.buf.b)
		o.conn.times.sent.Store(o.conn.server.now())
	}
}

// unlockAndFlush unlocks the outbox and starts a write if none is in progress.
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

// reserveLocked makes room for n bytes without moving the bytes that wait.
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

// advance records that the link by has written n bytes. It returns the bytes to write next, nil if there are none.
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

// roomyLocked wakes waiting senders when there is room again. It reports whether the caller must call Conn.roomAgain.
func (o *outbox) roomyLocked() bool {
	// The low-water mark is half of the limit: at the limit itself, a full outbox would notify for every few bytes.
	roomy := o.owed && o.later == nil && o.pendingLocked() <= o.limit()/2 && (!o.keepsLocked() || o.conn.state.replay.fullSince == 0)
	if roomy {
		o.owed = false
		o.wakeLocked()
	}
	return roomy
}

// keepsLocked reports whether sent messages are stored in the replay buffer.
func (o *outbox) keepsLocked() bool { return o.conn.state != nil && o.conn.state.active }

// cutLocked reports whether the connection is detached: messages go to the replay buffer only.
func (o *outbox) cutLocked() bool { return o.conn.state != nil && o.conn.state.detached != 0 }

// replayFullLocked reports whether the replay buffer has no room for n more bytes, and records since when.
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

// over reports whether more bytes wait than the limit allows. If so, the connection is notified when there is room again.
func (o *outbox) over() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waitingLocked() <= o.limit() && !(o.keepsLocked() && o.replayFullLocked(0)) {
		return false
	}
	o.owed = true
	return true
}

// stalledSince returns the time since which the transport has taken no bytes, 0 if no bytes wait.
func (o *outbox) stalledSince() int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pendingLocked() == 0 {
		return 0
	}
	return o.progress
}

// rearm restarts the send timeout.
func (o *outbox) rearm(now int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.progress = now
}

// finished reports whether the outbox is sealed and empty.
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

// waitingLocked returns the number of bytes that wait, including the backlog.
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
