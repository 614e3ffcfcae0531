package ingest

import "sync"

// broadcaster wakes all goroutines that wait for a change.
type broadcaster struct {
	mu sync.Mutex
	ch chan struct{} // closed by the next broadcast; guarded by mu
}

func newBroadcaster() *broadcaster { return &broadcaster{ch: make(chan struct{})} }

// next returns a channel that the next broadcast closes. A waiter must call it before it checks its condition.
func (b *broadcaster) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ch
}

func (b *broadcaster) broadcast() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.ch)
	b.ch = make(chan struct{})
}
