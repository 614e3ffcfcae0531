package faultproxy

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

const (
	chunkSize = 32 << 10 // bytes of one read at most
	maxChunks = 1024     // chunks per direction that wait to be forwarded; at the bound the link stops reading, as a full TCP window would
)

// connection is one client's connection and the connection to the server that belongs to it.
type connection struct {
	link           *Link
	client, server *net.TCPConn // server is nil until the dial succeeded
	lossy          bool         // whether bytes or an end of stream were discarded; guarded by link.mu
	once           sync.Once
	done           chan struct{} // closed by reset
}

// reset closes both connections; peers that have not finished see a reset (RST) instead of an end of stream.
func (c *connection) reset() {
	c.once.Do(func() {
		close(c.done)
		for _, conn := range []*net.TCPConn{c.client, c.server} {
			if conn != nil {
				_ = conn.SetLinger(0)
				_ = conn.Close()
			}
		}
	})
}

// finish closes both connections after both streams were forwarded to their ends.
func (c *connection) finish() {
	c.once.Do(func() {
		close(c.done)
		_ = c.client.Close()
		_ = c.server.Close()
	})
}

// copyBoth forwards both directions and returns when both have ended.
func (c *connection) copyBoth() {
	var directions sync.WaitGroup
	for _, d := range []struct{ from, to *net.TCPConn }{{c.client, c.server}, {c.server, c.client}} {
		chunks := make(chan chunk, maxChunks)
		directions.Go(func() { c.read(d.from, chunks) })
		directions.Go(func() { c.write(d.to, chunks) })
	}
	directions.Wait()
	c.finish()
}

// chunk is the result of one read. Its bytes are nil at the end of the stream.
type chunk struct {
	bytes []byte
	due   time.Time // earliest time to forward it under Delayed; zero if at once
}

// read turns a stream into chunks until it ends.
func (c *connection) read(from *net.TCPConn, chunks chan<- chunk) {
	defer close(chunks)
	buf := make([]byte, chunkSize)
	for {
		n, err := from.Read(buf)
		if n > 0 && !c.enqueue(chunks, append([]byte(nil), buf[:n]...)) {
			return
		}
		if errors.Is(err, io.EOF) {
			c.enqueue(chunks, nil)
			return
		}
		if err != nil {
			c.fail()
			return
		}
	}
}

// enqueue hands a chunk to the writer with the delay in force. It reports false if the connection was reset.
func (c *connection) enqueue(chunks chan<- chunk, bytes []byte) bool {
	next := chunk{bytes: bytes}
	if h, _ := c.link.currentFault(); h.Kind == Delayed {
		next.due = time.Now().Add(h.delay())
	}
	select {
	case chunks <- next:
		return true
	case <-c.done:
		return false
	}
}

// delay returns Delay with a random difference of up to Jitter.
func (h Fault) delay() time.Duration {
	if h.Jitter <= 0 {
		return h.Delay
	}
	return h.Delay - h.Jitter + rand.N(2*h.Jitter)
}

// write forwards the chunks of one direction in order. Under Swallowed it discards them.
func (c *connection) write(to *net.TCPConn, chunks <-chan chunk) {
	discarded := false
	for next := range chunks {
		c.wait(next.due)
		if c.link.swallows(c) {
			discarded = true
			continue
		}
		if next.bytes == nil {
			_ = to.CloseWrite()
			continue
		}
		if _, err := to.Write(next.bytes); err != nil {
			c.fail()
			return
		}
	}
	if discarded {
		<-c.done // the peer must not learn of the end; Clear or Close resets
	}
}

// wait returns at the due time, or earlier if the fault changes or the connection is reset.
func (c *connection) wait(due time.Time) {
	h, changed := c.link.currentFault()
	left := time.Until(due)
	if left <= 0 || h.Kind != Delayed {
		return
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-c.done:
	}
}

// fail passes a broken connection on to the other peer, unless the link is silent: then the other peer must not learn of it.
func (c *connection) fail() {
	if c.link.swallows(c) {
		<-c.done
		return
	}
	c.reset()
}
