package upstream

import (
	"errors"
	"sync"
)

// ErrEarly is a request that was not sent whole because its node has answered already, or has ended the connection.
var ErrEarly = errors.New("the node answered before it had all of the request")

// Listening is a watch for the first byte of an answer while the request is still being sent.
type Listening struct {
	done chan struct{} // closed when there is a byte, or the connection has failed

	mu      sync.Mutex
	stopped bool
	heard   bool
}

// Listen waits for the answer beside the goroutine that sends the request. heard is called when it begins or the connection fails, but
// not after Stop; contain is deferred by the goroutine that waits. The answer is read with ReadHead as ever.
func (c *Conn) Listen(heard func(), contain func(part string)) *Listening {
	c.makeReader()
	l := &Listening{done: make(chan struct{})}
	c.listening = l
	read := c.read
	go func() {
		defer close(l.done)
		defer contain("answer of a node")
		_, _ = read.Peek(1) // who reads next has the error too
		l.mu.Lock()
		defer l.mu.Unlock()
		l.heard = true
		if !l.stopped {
			heard()
		}
	}()
	return l
}

// Stop ends the watch and reports whether the answer, or the end of the connection, was there before.
func (l *Listening) Stop() (heard bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	return l.heard
}
