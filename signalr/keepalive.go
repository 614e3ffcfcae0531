package signalr

import "time"

// beat is the one tick behind every timeout of every connection: no connection owns a timer.
func (s *Server) beat(now int64) {
	// After a pause of the whole process the silence was ours: what clients sent lies unread in their sockets, and
	// writes had no chance to make progress.
	paused := now-s.clock.Swap(now) > 2*int64(s.opts.Timeouts.Heartbeat)+int64(time.Second)
	s.pending.sweep(now)
	r := s.registry
	r.scratch = r.appendAll(r.scratch[:0])
	for i, c := range r.scratch {
		if paused {
			c.times.busy.Store(now)
			c.out.rearm(now)
			c.in.rearm(now)
		}
		c.beat(now)
		r.scratch[i] = nil
	}
	if cap(r.scratch) > 4*len(r.scratch) {
		r.scratch = nil
	}
}

// beat looks at the timeouts of one connection.
func (c *Conn) beat(now int64) {
	defer c.contain("heartbeat")
	t := &c.server.opts.Timeouts
	l := c.transport()
	l.beat(now)
	if !l.polled() && over(now, c.out.stalledSince(), t.Send) {
		c.failed(l, errSendTimeout)
		l.abort() // it may have been closing already
		return
	}
	switch c.life.phase.Load() {
	case phaseHandshake:
		if over(now, c.life.started, t.Handshake) {
			c.end(ending{
				err: errClientTimeout, reply: appendHandshakeReply(nil, handshakeCanceled),
				code: closeNormal, status: StatusTimeout,
			})
		}
	case phaseOpen:
		c.beatOpen(now, t, l.polled())
	case phaseClosing:
		c.life.mu.Lock()
		since := c.life.endedAt
		c.life.mu.Unlock()
		if over(now, since, t.Close) {
			l.abort()
		}
	}
}

func (c *Conn) beatOpen(now int64, t *Timeouts, polled bool) {
	if !c.beatState(now) {
		return
	}
	if c.in.inputOver() {
		c.life.mu.Lock()
		since := c.life.endedAt
		c.life.mu.Unlock()
		if over(now, since, t.Close) {
			c.end(ending{silent: true, code: closeNormal, status: StatusNormal, peer: true})
		}
		return
	}
	if c.in.waiting() {
		c.times.busy.Store(now)
	}
	heard := max(c.times.received.Load(), c.times.busy.Load())
	switch {
	case over(now, c.in.partialSince(), c.server.patience(t.Message)):
		c.end(ending{err: errUnfinished, text: closedText, allowReconnect: true, code: closeNormal, status: StatusTimeout})
	case !polled && over(now, heard, t.Client):
		c.end(ending{err: errClientTimeout, text: closedText, allowReconnect: true, code: closeNormal, status: StatusTimeout})
	case c.expired():
		c.end(ending{err: errExpired, allowReconnect: true, code: closeNormal, status: StatusNormal})
	case !polled && over(now, c.times.sent.Load(), t.KeepAlive) && c.out.pending() == 0:
		// With bytes waiting, the client is not short of signs of life but of room for them.
		_ = c.out.putUntracked(c.proto.appendPing(nil))
	}
}

// patience returns how long a message may take. Where half of the memory for unfinished ones is taken it is a quarter: a flood
// of slow clients shortens the time of the slow, and leaves the others alone.
func (s *Server) patience(d time.Duration) time.Duration {
	if d > 0 && s.unfinished.Load() > int64(s.opts.Limits.Unfinished)/2 {
		return d / 4
	}
	return d
}

// over reports whether d has passed since then; never when then is 0 or d negative.
func over(now, then int64, d time.Duration) bool {
	return then != 0 && d >= 0 && now-then >= int64(d)
}
