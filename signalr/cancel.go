package signalr

import "sync"

// callIndex holds the open streaming calls by their ids, which a client may use once at a time.
type callIndex struct {
	mu     sync.Mutex
	byID   map[string]*Call
	closed bool // the connection has ended: all contexts have
}

func (x *callIndex) add(c *Call) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return
	}
	if x.byID == nil {
		x.byID = make(map[string]*Call)
	}
	if x.byID[c.id] == nil {
		x.byID[c.id] = c
	}
}

// reserve begins the context of a streaming call; false when its id belongs to another one.
func (x *callIndex) reserve(c *Call) bool {
	x.mu.Lock()
	taken := x.byID[c.id] != nil
	x.mu.Unlock()
	if !taken { // only one goroutine at a time takes calls in
		c.Context()
	}
	return !taken
}

func (x *callIndex) remove(c *Call) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.byID[c.id] == c {
		delete(x.byID, c.id)
	}
}
