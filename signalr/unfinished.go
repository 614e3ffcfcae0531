package signalr

import "time"

// The functions of this file account for messages that are not finished: input that waits for its rest, or for an invocation
// slot. One connection is bounded by Limits.Message and Limits.Inbox. Limits.Unfinished bounds all of a server, and
// Limits.UnfinishedPerUser those of one user, whatever the number of its connections.
//
// A connection is charged in steps, so that one whose messages are whole when they are read costs nothing.

// chargeStep is the unit of the account, in bytes: less than this waits uncounted.
const chargeStep = 4 << 10

// chargeLocked brings the account up to date. It reports that the connection is to be closed: too much waits, and this
// connection's part waits for its own client, so that not to read it would not help.
func (d *dispatcher) chargeLocked() (tooMuch bool) {
	held := int32(d.in.left() / chargeStep)
	if held == d.charged {
		return false
	}
	s, o := d.conn.server, d.conn.owner
	grown := int64(held-d.charged) * chargeStep
	d.charged = held
	s.unfinished.Add(grown)
	if o != nil {
		o.unfinished.Add(grown)
	}
	return grown > 0 && d.blocked == nil && d.item == nil && s.crowded(o)
}

// crowded reports that too much waits of a server, or of one of its users; nil is none.
func (s *Server) crowded(o *owner) bool {
	l := &s.opts.Limits
	return s.unfinished.Load() > int64(l.Unfinished) || o != nil && o.unfinished.Load() > int64(l.UnfinishedPerUser)
}

// timeLocked notes when the message at the end of the input began; taken says that others before it have been handled.
func (d *dispatcher) timeLocked(taken bool) {
	switch {
	case d.in.left() == 0 || d.blocked != nil || d.item != nil:
		d.conn.life.partial = 0 // it waits for nothing, or not for the client
	case d.conn.life.partial == 0 || taken:
		d.conn.life.partial = d.conn.age(d.conn.server.now())
	}
}

// partialSince returns when the client began the message whose rest it owes, 0 if there is none.
func (d *dispatcher) partialSince() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn.life.partial == 0 {
		return 0
	}
	return d.conn.life.started + int64(d.conn.life.partial-1)*int64(time.Second)
}

// age returns how old the connection is, in seconds from 1 on.
func (c *Conn) age(now int64) int32 { return int32(max(0, now-c.life.started)/int64(time.Second)) + 1 }

// rearm begins the wait for the rest of a message again.
func (d *dispatcher) rearm(now int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn.life.partial != 0 {
		d.conn.life.partial = d.conn.age(now)
	}
}
