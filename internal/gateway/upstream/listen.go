package upstream

import (
	"errors"
	"sync"
)

// ErrEarly means that a request was not sent completely, because the node has responded or closed the connection.
var ErrEarly = errors.New("the node answered before it had read the whole request")

// Listening waits for the first byte of a response while the request is being sent.
type Listening struct {
	done chan struct{} // closed when the first byte has arrived or the connection has failed

	mu      sync.Mutex
	stopped bool
	heard   bool
}

// Listen starts a goroutine that waits for the response while the caller sends the request. It calls heard when the response
// starts or the connection fails, but not after Stop. The goroutine defers contain. ReadHead reads the response as usual.
func (c *Conn) Listen(heard func(), contain func(part string)) *Listening {
	c.makeReader()
	l := &Listening{done: make(chan struct{})}
	c.listening = l
	read := c.read
	go func() {
		defer close(l.done)
		defer contain("answer of a node")
		_, _ = read.Peek(1) // the next read returns the same error
		l.mu.Lock()
		defer l.mu.Unlock()
		l.heard = true
		if !l.stopped {
			heard()
		}
	}()
	return l
}

// Stop ends the wait and reports whether the response had started or the connection had failed before.
func (l *Listening) Stop() (heard bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	return l.heard
}
