package signalr

// closedChan is what waiters for room get when there is nothing to wait for.
var closedChan = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// roomChan returns a channel that is closed when there is room, or never will be.
func (o *outbox) roomChan() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sealed || !o.owed {
		return closedChan
	}
	if o.room == nil {
		o.room = make(chan struct{})
	}
	return o.room
}

func (o *outbox) wakeLocked() {
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// roomAgain runs when an outbox that was full is half empty. It may run on the network loop, so the application's hook
// gets a goroutine.
func (c *Conn) roomAgain() {
	c.in.pump()
	if c.server.hub.OnWritable == nil {
		return
	}
	c.out.mu.Lock()
	start := c.out.notices == 0
	c.out.notices = min(c.out.notices+1, 2)
	c.out.mu.Unlock()
	if start {
		c.server.spawn(c.notify)
	}
}

// notify calls OnWritable, again when there was another reason meanwhile.
func (c *Conn) notify() {
	for again := true; again; {
		c.protect("OnWritable", func() { c.server.hub.OnWritable(c) })
		c.out.mu.Lock()
		c.out.notices--
		again = c.out.notices > 0
		c.out.mu.Unlock()
	}
}
