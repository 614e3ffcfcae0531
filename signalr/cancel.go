package signalr

import "sync"

// callIndex holds the running calls that a client can cancel: those that gave somebody their context.
type callIndex struct {
	mu   sync.Mutex
	byID map[string]*Call
}

func (x *callIndex) add(c *Call) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.byID == nil {
		x.byID = make(map[string]*Call)
	}
	x.byID[c.id] = c
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
