package httpfast

import "sync"

// keepIdle is how many workers without a connection are kept.
const keepIdle = 256

// workers are those that have nothing to do. Who had a connection last has the next one: its memory is still near.
type workers struct {
	mu     sync.Mutex
	idle   []*worker
	closed bool
}

// give has a worker take the connection, a new one where none is idle. It does not wait.
func (p *workers) give(c *conn) {
	p.mu.Lock()
	last := len(p.idle) - 1
	if last < 0 {
		p.mu.Unlock()
		go newWorker().run(c) // until rest does not keep it, or close
		return
	}
	w := p.idle[last]
	p.idle = p.idle[:last]
	p.mu.Unlock()
	w.next <- c // it has room: only who was idle gets one
}

// rest keeps a worker for another connection; false: it is not needed.
func (p *workers) rest(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.idle) == keepIdle {
		return false
	}
	p.idle = append(p.idle, w)
	return true
}

// close ends those that are idle, and the others when they are.
func (p *workers) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, w := range p.idle {
		close(w.next)
	}
	p.idle = nil
}
