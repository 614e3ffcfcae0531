// Package drain waits for operations in progress at a shutdown and refuses new ones. It does not cancel them.
//
// Concurrency: a Gate is safe for concurrent use.
package drain

import "sync"

// Gate counts operations in progress until it is closed. Unlike with a [sync.WaitGroup], a new operation may try to start
// while Close waits; it is refused. The zero Gate is open.
type Gate struct {
	mu     sync.Mutex
	closed bool
	inside sync.WaitGroup // Add is called only while mu is held and closed is false
}

// Enter starts an operation, which must end with Leave. It returns false if the gate is closed.
func (g *Gate) Enter() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return false
	}
	g.inside.Add(1)
	return true
}

// Leave ends an operation that Enter started.
func (g *Gate) Leave() { g.inside.Done() }

// Close closes the gate and waits for all operations in progress. It reports whether this call has closed the gate.
func (g *Gate) Close() bool {
	g.mu.Lock()
	first := !g.closed
	g.closed = true
	g.mu.Unlock()
	g.inside.Wait()
	return first
}
