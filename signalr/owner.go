package signalr

import (
	"slices"
	"sync/atomic"
)

// owner is a user with open connections. The registry's lock guards conns.
type owner struct {
	conns      []owned      // oldest first
	unfinished atomic.Int64 // bytes, see Limits.UnfinishedPerUser
	unread     atomic.Int64 // bytes, see Limits.UnreadPerUser
}

// owned is one of a user's connections.
type owned struct {
	conn   *Conn
	device string
}

// full reports whether a user and its device can open no other connection now.
func (r *registry) full(user, device string, opts *Options) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	full, _ := r.roomLocked(user, device, opts)
	return full
}

// roomLocked reports whether a user has as many connections as it may, and returns the one that has to make room for another
// of the device. Connections that are closing do not count, until there are as many again: their clients may not listen.
func (r *registry) roomLocked(user, device string, opts *Options) (full bool, oldest *Conn) {
	o, l := r.owners[user], &opts.Limits
	if o == nil || l.ConnectionsPerUser <= 0 && l.ConnectionsPerDevice <= 0 {
		return false, nil
	}
	var open, ofDevice, closingOfDevice int
	for _, of := range o.conns {
		closing := of.conn.life.phase.Load() == phaseClosing
		if !closing {
			open++
		}
		switch {
		case device == "" || of.device != device:
		case closing:
			closingOfDevice++
		default:
			ofDevice++
			if oldest == nil {
				oldest = of.conn
			}
		}
	}
	perUser, perDevice := l.ConnectionsPerUser, l.ConnectionsPerDevice
	if perDevice <= 0 || ofDevice < perDevice {
		oldest = nil
		full = perUser > 0 && (open >= perUser || len(o.conns) >= 2*perUser) || perDevice > 0 && ofDevice+closingOfDevice >= 2*perDevice
		return full, nil
	}
	full = !opts.ReplaceOldest || closingOfDevice >= perDevice || perUser > 0 && len(o.conns) >= 2*perUser
	return full, oldest
}

// ownLocked counts a connection among those of its user.
func (r *registry) ownLocked(c *Conn, device string) {
	user := c.who.UserID
	if user == "" {
		return
	}
	if r.owners[user] == nil {
		r.owners[user] = &owner{}
	}
	c.owner = r.owners[user]
	c.owner.conns = append(c.owner.conns, owned{c, device})
}

func (r *registry) disownLocked(c *Conn) {
	o := c.owner
	if o == nil {
		return
	}
	if at := slices.IndexFunc(o.conns, func(of owned) bool { return of.conn == c }); at >= 0 {
		o.conns = slices.Delete(o.conns, at, at+1)
	}
	if len(o.conns) == 0 {
		delete(r.owners, c.who.UserID)
	}
}
