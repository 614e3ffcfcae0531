// Package drain counts who is inside something that is to end.
package drain

import "sync"

// Gate lets callers in until it closes. Unlike a [sync.WaitGroup], callers may come while somebody waits for those inside;
// they are turned away then. The zero Gate is open.
type Gate struct {
	mu     sync.Mutex
	closed bool
	inside sync.WaitGroup // grows under mu and before closed only
}

// Enter lets a caller in, who owes a Leave then; false: the gate is closed.
func (g *Gate) Enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside.Add(1)
	return true
}

// Leave ends what an Enter began.
func (g *Gate) Leave() { g.inside.Done() }

// Close lets nobody in any more and waits until nobody is inside. It tells whether this call has closed the gate.
func (g *Gate) Close() bool {
	g.mu.Lock()
	first := !g.closed
	g.closed = true
	g.mu.Unlock()
	g.inside.Wait()
	return first
}
