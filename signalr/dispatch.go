package signalr

import "sync"

// dispatcher turns the bytes of one client into handshake, calls and the rest, in order.
//
// Bytes arrive on a network loop, which must not wait for anybody. So the loop parses and handles what needs no slot
// (pings, cancellations, the client's Close) and hands calls to goroutines that exist only while calls run. When the
// next call finds no slot, it and everything behind it stays here, and once Limits.Inbox bytes wait the socket is no
// longer read. The slot that becomes free goes on from there. One goroutine pumps at a time; who comes meanwhile leaves
// a note and goes.
type dispatcher struct {
	conn *Conn

	mu    sync.Mutex
	in    input
	state struct {
		pumping, again bool
		shaken         bool // the handshake is over
		paused         bool
		eof            bool // no more input will come; what is here is still handled
		stopped        bool // no more is handled
		ended          bool // the application's end has begun
	}
	hold     bool        // OnConnected has not returned
	running  int32       // slots taken, by calls in ready too
	deferred int32       // calls open by Defer
	streams  int32       // calls with streams, in a slot or outside of it
	waiters  int32       // calls that gave their slot away while they wait for a client
	blocked  *Call       // the next call, for which there was no slot
	item     *uploadItem // the next item of a stream, for which there was no room
	ready    []*Call     // calls with a slot that no goroutine has begun
	calls    *Call       // begun and not completed calls with an id, as a list by Call.next
	held     int32       // bytes of calls without streams that have a slot, or are open by Defer
	charged  int32       // steps of the input that Limits.Unfinished counts
}

// receive takes bytes of the hub stream from the link.
func (d *dispatcher) receive(b []byte) { d.receiveFrom(nil, b) }

// receiveFrom is receive from a socket that another one may have replaced.
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

// end tells that no more input will come. What has come is still handled, then the connection ends.
func (d *dispatcher) end() {
	d.mu.Lock()
	d.state.eof = true
	d.mu.Unlock()
	d.pump()
}

// pump handles what has come until input or slots run out, and starts goroutines for calls that got one.
func (d *dispatcher) pump() {
	for range d.advance() {
		d.conn.server.spawn(d.work)
	}
}

// work is the goroutine of one slot: it runs calls until there are none for it.
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

// release gives back what a call has held, a slot as a rule, and returns the next call for the same goroutine, if there is
// one. A nil call is OnConnected.
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

// advance does the pumping and returns how many calls it has put into ready.
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

// stepLocked does one thing, and reports whether there may be more.
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
	shaken := d.state.shaken
	d.mu.Unlock()
	call, item, ok := d.handleOne(shaken, record, err)
	d.mu.Lock()
	d.blocked, d.item = call, item
	d.state.stopped = d.state.stopped || !ok
	return true
}

// handleOne handles one record, or the error that came in its place. It reports false if that panicked.
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

// inputDone ends the connection when all that the client sent before its end is handled.
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

// startLocked readies the next call if it may start now. Calls with streams of the client take no slot: their items come behind
// them. A call that streams its results has one until its handler has returned the sequence.
func (d *dispatcher) startLocked() bool {
	l := &d.conn.server.opts.Limits
	slot := !d.blocked.noSlot
	switch {
	case d.hold, slot && (int(d.running) >= l.ParallelInvocations || int(d.deferred+d.waiters) >= l.Deferred):
		return false
	case !d.blocked.streams && d.held > 0 && int(d.held)+d.blocked.size > l.Arguments:
		return false
	case d.conn.out.over():
		// A client that does not read its answers gets no further questions answered: completions would pile up.
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

// streamsFull reports whether a client has as many calls with streams as it may.
func (d *dispatcher) streamsFull() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return int(d.streams) >= d.conn.server.opts.Limits.Streams
}

// streamsHold reports whether the arguments of the calls with streams take too much for another one of a size.
func (d *dispatcher) streamsHold(size int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	held := d.conn.existing().streamed
	return held > 0 && held+size > d.conn.server.opts.Limits.Arguments
}

// releaseSlot takes a call out of the slots that waits for a client's answer, for good.
func (d *dispatcher) releaseSlot(size int) {
	d.mu.Lock()
	d.running--
	d.held -= int32(size) // else the answer might wait behind a call that waits for this one's room
	d.waiters++
	d.mu.Unlock()
	d.pump()
}

// leaveSlot takes a call out of the slots whose handler has returned a sequence.
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

// openedLocked begins to list a call for cancellations. The list is intrusive: an invocation costs no allocation for it.
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

// completed ends that.
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

// cancel ends the context of the call with an id, also one that its handler asks for later. An unknown id is ignored. There are
// no more calls to look at than Limits let a connection have open.
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
	err = errPanicked // what a panic leaves
	defer d.conn.contain("input")
	next := nextRecord
	if d.state.shaken {
		next = d.conn.proto.next
	}
	return d.in.next(next, d.conn.server.opts.Limits.Message)
}

// crowdedLocked reports that too much waits for slots, or for readers of streams.
func (d *dispatcher) crowdedLocked() bool {
	if d.blocked == nil && d.item == nil || d.state.stopped {
		return false
	}
	return d.in.left() >= d.conn.server.opts.Limits.Inbox || d.charged > 0 && d.conn.server.crowded(d.conn.owner)
}

// paused reports whether the link is to leave the socket unread.
func (d *dispatcher) paused() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state.paused
}

// waiting reports whether input waits for a slot: then the client's silence is not its fault.
func (d *dispatcher) waiting() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.blocked != nil || d.item != nil
}

// inputOver reports that input has ended and only waits to be handled.
func (d *dispatcher) inputOver() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state.eof && !d.state.stopped
}

// shaken begins the hub's part of the stream. Calls are held until open when a hook is to run first.
func (d *dispatcher) shaken(hold bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state.shaken = true
	d.hold = hold
	if hold {
		d.running++
	}
}

// open lets the calls through that OnConnected held back.
func (d *dispatcher) open() {
	d.mu.Lock()
	d.hold = false
	d.mu.Unlock()
	for call := d.release(nil); call != nil; call = d.release(call) {
		call.run()
	}
}

// stop drops all input. When nothing runs the application's end begins, else with the last call's return.
func (d *dispatcher) stop() {
	d.mu.Lock()
	d.state.stopped = true
	d.blocked, d.item = nil, nil
	if !d.state.pumping {
		d.in.tidy(true)
		d.chargeLocked()
	}
	d.mu.Unlock()
	d.pump() // who waits for reading to go on learns that it does
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
