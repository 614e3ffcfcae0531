package signalr

import "sync"

// callIndex holds the running calls that a client can cancel: those that gave somebody their context.
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

// cancel ends the context of the call with an id; an unknown one is ignored.
func (x *callIndex) cancel(id []byte) {
	x.mu.Lock()
	call := x.byID[string(id)]
	x.mu.Unlock()
	if call == nil {
		return
	}
	call.mu.Lock()
	cancel := call.cancel
	call.mu.Unlock()
	cancel(errCanceledByClient)
}
