package signalr

import (
	"errors"
	"math"
)

// The functions of this file account for output that clients have not read. One connection is bounded by Limits.Outbox.
// Limits.UnreadPerUser bounds all connections of one user together, so that their number does not multiply what one client may hold.
//
// As with unfinished messages, a connection is charged in steps: one whose client reads costs nothing.

var errUnread = errors.New("the connections of the user hold too much that was not read")

// chargeLocked brings the account up to date, and reports whether the connection's part has grown.
func (o *outbox) chargeLocked() (grown bool) {
	size := o.waitingLocked()
	if o.conn.state != nil {
		size += o.conn.state.replay.size()
	}
	held := int16(min(size/chargeStep, math.MaxInt16)) // 128 MiB: one connection with more is far over any limit
	if o.dead {
		held = 0
	}
	if held == o.charged {
		return false
	}
	more := (int64(held) - int64(o.charged)) * chargeStep
	o.charged = held
	o.conn.server.unread.Add(more)
	if of := o.conn.owner; of != nil {
		of.unread.Add(more)
	}
	return more > 0
}

// limitUnread ends the connection if its user holds too much that was not read, and this connection a part of it. It is called after what
// was appended has been offered to the transport.
func (o *outbox) limitUnread() {
	of, limit := o.conn.owner, int64(o.conn.server.opts.Limits.UnreadPerUser)
	if of == nil || limit <= 0 || of.unread.Load() <= limit {
		return
	}
	o.mu.Lock()
	holds := o.charged > 0 && !o.sealed
	o.mu.Unlock()
	if holds {
		o.conn.server.counters.unreadEnded.Add(1)
		o.kill() // at once: until its memory is free, the next connections of the user would be dropped for it
		o.conn.end(ending{err: errUnread, abort: true, status: StatusError})
	}
}
