package signalr

import "sync"

// place is the position of a connection in the registry. It is guarded by registry.mu.
type place struct {
	token      string // connection token of its requests; a secret
	next, prev *Conn  // connections of the same user
	index      int32  // in all
	shown      bool   // it can be found by id and by user
	hidden     bool   // it has ended, and must not be shown any more
	removed    bool
}

// registry knows the connections of one server, by token from the first request to the very end, by id and user only
// while they are open.
type registry struct {
	mu      sync.Mutex
	tokens  map[string]*Conn
	ids     map[string]*Conn
	users   map[string]*Conn // the latest connection of each user; the others hang on it
	owners  map[string]*owner
	all     []*Conn
	closed  bool
	empty   chan struct{} // closed when the registry is closed and holds no connections
	scratch []*Conn       // of the heartbeat, which is alone in using it
}

func newRegistry() *registry {
	return &registry{
		tokens: make(map[string]*Conn),
		ids:    make(map[string]*Conn),
		users:  make(map[string]*Conn),
		owners: make(map[string]*owner),
		empty:  make(chan struct{}),
	}
}

type addResult int

const (
	added addResult = iota
	addTaken
	addFull
	addUserFull
	addClosed
)

// add takes a connection in, unless its token is in use, or there are as many connections as there may be. It returns the
// connection that has to make room for it, if there is one.
func (r *registry) add(c *Conn, device string, opts *Options) (result addResult, oldest *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	limit := opts.Limits.Connections
	switch {
	case r.closed:
		return addClosed, nil
	case r.tokens[c.place.token] != nil:
		return addTaken, nil
	case limit > 0 && len(r.all) >= limit:
		return addFull, nil
	}
	full, oldest := r.roomLocked(c.who.UserID, device, opts)
	if full {
		return addUserFull, nil
	}
	r.ownLocked(c, device)
	r.tokens[c.place.token] = c
	c.place.index = int32(len(r.all))
	r.all = append(r.all, c)
	return added, oldest
}

// show makes an open connection findable.
func (r *registry) show(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.place.hidden {
		return
	}
	c.place.shown = true
	r.ids[c.id] = c
	if c.who.UserID == "" {
		return
	}
	if c.place.next = r.users[c.who.UserID]; c.place.next != nil {
		c.place.next.place.prev = c
	}
	r.users[c.who.UserID] = c
}

// hide undoes show, for good.
func (r *registry) hide(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &c.place
	p.hidden = true
	if !p.shown {
		return
	}
	p.shown = false
	delete(r.ids, c.id)
	if c.who.UserID == "" {
		return
	}
	if p.next != nil {
		p.next.place.prev = p.prev
	}
	switch {
	case p.prev != nil:
		p.prev.place.next = p.next
	case p.next != nil:
		r.users[c.who.UserID] = p.next
	default:
		delete(r.users, c.who.UserID)
	}
	p.next, p.prev = nil, nil
}

// remove takes a connection out; only the first call reports true.
func (r *registry) remove(c *Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.place.removed {
		return false
	}
	c.place.removed = true
	delete(r.tokens, c.place.token)
	r.disownLocked(c)
	last := len(r.all) - 1
	r.all[c.place.index] = r.all[last]
	r.all[c.place.index].place.index = c.place.index
	r.all[last] = nil
	r.all = r.all[:last]
	r.signalLocked()
	return true
}

// close makes the registry refuse new connections.
func (r *registry) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.closed = true
		r.signalLocked()
	}
}

func (r *registry) signalLocked() {
	if r.closed && len(r.all) == 0 {
		select {
		case <-r.empty:
		default:
			close(r.empty)
		}
	}
}

func (r *registry) byID(id string) *Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ids[id]
}

func (r *registry) byToken(token string) *Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tokens[token]
}

func (r *registry) appendUser(dst []*Conn, user string) []*Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := r.users[user]; c != nil; c = c.place.next {
		dst = append(dst, c)
	}
	return dst
}

// appendIDs appends the open connections with these ids.
func (r *registry) appendIDs(dst []*Conn, ids []string) []*Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		if c := r.ids[id]; c != nil {
			dst = append(dst, c)
		}
	}
	return dst
}

// appendShown appends all open connections.
func (r *registry) appendShown(dst []*Conn) []*Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.all {
		if c.place.shown {
			dst = append(dst, c)
		}
	}
	return dst
}

func (r *registry) appendAll(dst []*Conn) []*Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(dst, r.all...)
}

func (r *registry) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.all)
}
