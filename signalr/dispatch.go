package signalr

import "sync"

// dispatcher parses the bytes of one client and handles its messages in order: the handshake, calls and all others.
//
// Bytes arrive on a network loop, which must not block. The loop therefore handles messages that need no slot (pings,
// cancellations, the client's Close) itself and hands calls to goroutines that exist only while calls run. When the next
// call finds no slot, it and all later input stay in the dispatcher; when Limits.Inbox bytes wait, the socket is no longer
// read. The next slot that becomes free resumes the work. Only one goroutine pumps at a time: another goroutine that finds
// state.pumping set only sets state.again and returns.
type dispatcher struct {
	conn *Conn

	mu    sync.Mutex
	in    input
	state struct {
		pumping, again bool
		handshakeDone  bool // the handshake is complete
		paused         bool // the socket is not read
		eof            bool // no more input will come; input that has arrived is still handled
		stopped        bool // no more input is handled
		ended          bool // finishApplication was called
	}
	hold     bool        // OnConnected has not returned; calls wait
	running  int32       // slots in use, including those of calls in ready
	deferred int32       // calls open by Defer
	streams  int32       // open calls with streams, with or without a slot
	waiters  int32       // calls that released their slot while they wait for a client's result
	blocked  *Call       // next call, for which there was no slot; nil if none
	item     *uploadItem // next stream item, for which there was no room; nil if none
	ready    []*Call     // calls with a slot that no goroutine runs yet
	calls    *Call       // open calls with an id, linked by Call.next; nil if none
	held     int32       // bytes of calls without streams that have a slot or are open by Defer
	charged  int32       // steps of the input counted against Limits.Unfinished
}

// receive appends bytes of the hub stream from the link to the input and handles them.
func (d *dispatcher) receive(b []byte) { d.receiveFrom(nil, b) }

// receiveFrom is receive for a socket that another one may have replaced: then it drops the bytes.
func (d *dispatcher) receiveFrom(l *webSocket, b []byte) {
	if len(b) == 0 {
		return
	}
	d.mu.Lock()
	if d.state.stopped || d.state.eof || l != nil && l.retired {
		d.mu.Unlock()
		return
	}
	d.in.append(b, !d.state.pumping)
	d.mu.Unlock()
	d.pump()
}

// end marks the end of the input. Input that has arrived is still handled, then the connection ends.
func (d *dispatcher) end() {
	d.mu.Lock()
	d.state.eof = true
	d.mu.Unlock()
	d.pump()
}

// pump handles input until the input or the slots run out, and starts goroutines for the calls that got a slot.
func (d *dispatcher) pump() {
	for range d.advance() {
		d.conn.server.spawn(d.work)
	}
}

// work runs calls on the goroutine of one slot until no call is ready.
func (d *dispatcher) work() {
	defer d.conn.contain("invocations")
	for call := d.pop(); call != nil; {
		call.run()
		call = d.release(call)
	}
}

func (d *dispatcher) pop() *Call {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.ready) == 0 {
		return nil
	}
	call := d.ready[0]
	d.ready = d.ready[1:]
	if len(d.ready) == 0 {
		d.ready = nil
	}
	return call
}

// release releases the resources of a call, usually its slot, and returns the next call for the same goroutine, nil if there
// is none. A nil call stands for OnConnected, which holds a slot as well.
func (d *dispatcher) release(done *Call) *Call {
	d.mu.Lock()
	switch {
	case done == nil:
		d.running--
	case !done.noSlot:
		d.running--
	case done.released:
		d.waiters--
	}
	switch {
	case done == nil:
	case done.streams:
		d.streams--
		d.conn.streaming(-done.size)
	case !done.outlives:
		d.held -= int32(done.size)
	}
	d.mu.Unlock()
	n := d.advance()
	for ; n > 1; n-- {
		d.conn.server.spawn(d.work)
	}
	if n == 1 {
		return d.pop()
	}
	d.finishIfStopped()
	return nil
}

// advance does the work of pump and returns the number of calls added to ready.
func (d *dispatcher) advance() (started int) {
	d.mu.Lock()
	if d.state.pumping {
		d.state.again = true
		d.mu.Unlock()
		return 0
	}
	d.state.pumping = true
	taken := false
	for {
		d.state.again = false
		for !d.state.stopped && d.stepLocked(&started) {
			taken = true
		}
		if !d.state.again {
			break
		}
	}
	d.state.pumping = false
	d.in.tidy(d.state.stopped)
	d.timeLocked(taken)
	tooMuch := d.chargeLocked()
	was := d.state.paused
	d.state.paused = d.crowdedLocked()
	changed := d.state.paused != was
	d.mu.Unlock()
	if tooMuch {
		d.conn.end(protocolEnding(errTooMuch))
	}
	if changed {
		d.conn.transport().readsChanged()
	}
	return started
}

// stepLocked handles one item, call or record, and reports whether there may be more to handle.
func (d *dispatcher) stepLocked(started *int) bool {
	if d.item != nil {
		if !d.conn.existing().uploads.offer(d.item, &d.conn.server.opts.Limits) {
			return d.peekLocked()
		}
		d.item = nil
		return true
	}
	if d.blocked != nil {
		if !d.startLocked() {
			return d.peekLocked()
		}
		*started++
		return true
	}
	record, err := d.nextLocked()
	if record == nil && err == nil {
		if d.state.eof {
			d.mu.Unlock()
			d.inputDone()
			d.mu.Lock()
		}
		return false
	}
	shaken := d.state.handshakeDone
	d.mu.Unlock()
	call, item, ok := d.handleOne(shaken, record, err)
	d.mu.Lock()
	d.blocked, d.item = call, item
	d.state.stopped = d.state.stopped || !ok || err != nil // an input that failed is not read again
	return true
}

// handleOne handles one record, or the error of reading it. ok is false if handling it panicked.
func (d *dispatcher) handleOne(shaken bool, record []byte, err error) (call *Call, item *uploadItem, ok bool) {
	defer d.conn.contain("hub message")
	switch {
	case !shaken:
		d.conn.handshake(record, err)
	case err != nil:
		d.conn.end(protocolEnding(err))
	default:
		call, item = d.conn.handle(record)
	}
	return call, item, true
}

// inputDone ends the connection after all input of the client was handled.
func (d *dispatcher) inputDone() {
	d.mu.Lock()
	partial := d.in.left() > 0
	d.mu.Unlock()
	e := ending{silent: true, code: closeNormal, status: StatusNormal, peer: true}
	if partial {
		e.err, e.status = errTruncated, StatusError
	}
	d.conn.end(e)
}

// startLocked moves the blocked call to ready if the limits allow it to start. Calls with client streams take no slot,
// because their items come after them in the input. A call that streams its results holds a slot until its handler has
// returned the sequence.
func (d *dispatcher) startLocked() bool {
	l := &d.conn.server.opts.Limits
	slot := !d.blocked.noSlot
	switch {
	case d.hold, slot && (int(d.running) >= l.ParallelInvocations || int(d.deferred+d.waiters) >= l.Deferred):
		return false
	case !d.blocked.streams && d.held > 0 && int(d.held)+d.blocked.size > l.Arguments:
		return false
	case d.conn.out.over():
		// Completions are queued even if the outbox is full. A client that does not read them must not start further calls.
		return false
	case slot:
		d.running++
	}
	if d.blocked.streams {
		d.streams++
		d.conn.streaming(d.blocked.size)
	} else {
		d.held += int32(d.blocked.size)
	}
	d.openedLocked(d.blocked)
	d.ready = append(d.ready, d.blocked)
	d.blocked = nil
	return true
}

// streamsFull reports whether the client has Limits.Streams open calls with streams.
func (d *dispatcher) streamsFull() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return int(d.streams) >= d.conn.server.opts.Limits.Streams
}

// streamsHold reports whether another call with streams and arguments of this size would exceed Limits.Arguments.
func (d *dispatcher) streamsHold(size int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	held := d.conn.existing().streamed
	return held > 0 && held+size > d.conn.server.opts.Limits.Arguments
}

// releaseSlot releases, for good, the slot of a call that waits for a client's result.
func (d *dispatcher) releaseSlot(size int) {
	d.mu.Lock()
	d.running--
	d.held -= int32(size) // otherwise the result could be queued behind a call that waits for these bytes: a deadlock
	d.waiters++
	d.mu.Unlock()
	d.pump()
}

// leaveSlot releases the slot of a call whose handler has returned a sequence.
func (d *dispatcher) leaveSlot(released bool) {
	d.mu.Lock()
	if released {
		d.waiters--
	} else {
		d.running--
	}
	d.mu.Unlock()
	d.pump()
}

// openedLocked adds a call to the list of calls that can be canceled. The list is intrusive, so that it needs no allocation.
func (d *dispatcher) openedLocked(c *Call) {
	if c.id == "" {
		return
	}
	c.listed, c.next = true, d.calls
	if d.calls != nil {
		d.calls.previous = c
	}
	d.calls = c
}

// completed removes a call from that list.
func (d *dispatcher) completed(c *Call) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !c.listed {
		return
	}
	if c.previous != nil {
		c.previous.next = c.next
	} else {
		d.calls = c.next
	}
	if c.next != nil {
		c.next.previous = c.previous
	}
	c.listed, c.next, c.previous = false, nil, nil
}

// cancel cancels the context of the open call with this id, even if the handler has not asked for the context yet. An
// unknown id is ignored. The search is linear, over at most the calls that Limits allow to be open.
func (d *dispatcher) cancel(id []byte) {
	d.mu.Lock()
	call := d.calls
	for call != nil && call.id != string(id) {
		call = call.next
	}
	d.mu.Unlock()
	if call != nil {
		call.cancelByClient()
	}
}

// nextLocked takes the next record from the input.
func (d *dispatcher) nextLocked() (record []byte, err error) {
	err = errPanicked // the result after a panic
	defer d.conn.contain("input")
	next := nextRecord
	if d.state.handshakeDone {
		next = d.conn.proto.next
	}
	return d.in.next(next, d.conn.server.opts.Limits.Message)
}

// crowdedLocked reports whether too many bytes wait for a slot or for the reader of a stream.
func (d *dispatcher) crowdedLocked() bool {
	if d.blocked == nil && d.item == nil || d.state.stopped {
		return false
	}
	return d.in.left() >= d.conn.server.opts.Limits.Inbox || d.charged > 0 && d.conn.server.crowded(d.conn.owner)
}

// paused reports whether the link must not read its socket.
func (d *dispatcher) paused() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state.paused
}

// waiting reports whether input waits for a slot or for room. The client timeout does not apply then.
func (d *dispatcher) waiting() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.blocked != nil || d.item != nil
}

// inputOver reports whether the input has ended but is not handled yet.
func (d *dispatcher) inputOver() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state.eof && !d.state.stopped
}

// handshakeDone records that the handshake is complete. If hold is set, calls wait until open is called after OnConnected.
func (d *dispatcher) handshakeDone(hold bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state.handshakeDone = true
	d.hold = hold
	if hold {
		d.running++
	}
}

// open starts the calls that waited for OnConnected.
func (d *dispatcher) open() {
	d.mu.Lock()
	d.hold = false
	d.mu.Unlock()
	for call := d.release(nil); call != nil; call = d.release(call) {
		call.run()
	}
}

// stop drops all input. It calls finishApplication if no call is running; otherwise the return of the last call does.
func (d *dispatcher) stop() {
	d.mu.Lock()
	d.state.stopped = true
	d.blocked, d.item = nil, nil
	if !d.state.pumping {
		d.in.tidy(true)
		d.chargeLocked()
	}
	d.mu.Unlock()
	d.pump() // wakes a request that waits for reading to resume
	d.finishIfStopped()
}

func (d *dispatcher) finishIfStopped() {
	d.mu.Lock()
	last := d.state.stopped && d.running+d.streams+d.waiters == 0 && !d.state.ended
	if last {
		d.state.ended = true
	}
	d.mu.Unlock()
	if last {
		d.conn.finishApplication()
	}
}

func (d *dispatcher) deferring() {
	d.mu.Lock()
	d.deferred++
	d.mu.Unlock()
}

func (d *dispatcher) deferredDone(size int) {
	d.mu.Lock()
	d.deferred--
	d.held -= int32(size)
	poke := d.blocked != nil
	d.mu.Unlock()
	if poke {
		d.pump()
	}
}
