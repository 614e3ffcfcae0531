package httpfast

import "sync"

// maxIdleWorkers bounds the parked workers.
const maxIdleWorkers = 256

// workers is a stack of idle workers. The most recently parked one is used first, because its memory is still in the CPU
// caches.
type workers struct {
	mu     sync.Mutex
	idle   []*worker
	closed bool
}

// dispatch passes a connection to an idle worker, or to a new one. It does not block.
func (p *workers) dispatch(c *conn) {
	p.mu.Lock()
	last := len(p.idle) - 1
	if last < 0 {
		p.mu.Unlock()
		go newWorker().run(c) // ends when park refuses the worker or close closes its channel
		return
	}
	w := p.idle[last]
	p.idle = p.idle[:last]
	p.mu.Unlock()
	w.next <- c // does not block: the channel of an idle worker is empty
}

// park makes a worker available for another connection. It returns false if the worker must end.
func (p *workers) park(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) == maxIdleWorkers {
		return false
	}
	p.idle = append(p.idle, w)
	return true
}

// close ends idle workers now, and the others when they try to park.
func (p *workers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, w := range p.idle {
		close(w.next)
	}
	p.idle = nil
}
