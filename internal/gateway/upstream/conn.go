package upstream

import (
	"bufio"
	"context"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Conn is a connection with one call on it.
type Conn struct {
	pool  *Pool
	net   net.Conn
	raw   syscall.RawConn // below TLS too; nil: cannot be looked at
	since time.Time       // idle

	read      *bufio.Reader // while an answer is read
	sent      int64         // bytes of this request that the system has taken
	cut       bool          // not all of this request could be sent
	shown     int           // bytes of the answer that Small gave and that are still in the reader
	failed    error         // of the answer, once it had one; then nothing of it can be read any more
	rest      rest          // of the answer's body
	listening *Listening    // while something waits for the answer beside what sends the request; nil: nothing does
	abortable bool
	stop      func() bool // ends the watch over the call's context
	aborted   atomic.Bool
}

// headRoom bounds the head of an answer, in bytes, and is the size of the reader.
const headRoom = 8 << 10

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, headRoom) }}

// Begin readies the connection for a call that must be over by the deadline; none: when it is over. It is cut off when ctx
// ends, and by AbortAll, if it is abortable.
func (c *Conn) Begin(ctx context.Context, deadline time.Time, abortable bool) {
	c.sent, c.shown, c.abortable = 0, 0, abortable
	c.failed, c.rest = nil, rest{}
	_ = c.net.SetDeadline(deadline) // a connection that cannot have one is closed, and the write will say so
	c.stop = context.AfterFunc(ctx, c.Abort)
	if abortable {
		c.pool.abortable(c)
	}
}

// Write sends a part of the request.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.net.Write(p)
	c.sent += int64(n)
	c.cut = c.cut || err != nil
	return n, err
}

// Writev sends several parts at once; it uses up the slice.
func (c *Conn) Writev(parts *net.Buffers) error {
	n, err := parts.WriteTo(c.net)
	c.sent += n
	c.cut = c.cut || err != nil
	return err
}

// Sent tells whether a byte of the request may have reached the node.
func (c *Conn) Sent() bool { return c.sent > 0 }

// Aborted tells whether Abort was called during this call.
func (c *Conn) Aborted() bool { return c.aborted.Load() }

// Extend moves the deadline; none: the call may take as long as it wants. What was aborted stays so.
func (c *Conn) Extend(deadline time.Time) {
	_ = c.net.SetDeadline(deadline) // as in Begin
	if c.aborted.Load() {
		_ = c.net.SetDeadline(longAgo)
	}
}

// ExtendWrite moves the deadline of what is sent and lifts that of the answer, which begins when all is sent.
func (c *Conn) ExtendWrite(deadline time.Time) {
	_ = c.net.SetWriteDeadline(deadline) // as in Begin
	_ = c.net.SetReadDeadline(time.Time{})
	if c.aborted.Load() {
		_ = c.net.SetDeadline(longAgo)
	}
}

// longAgo is a deadline that has passed.
var longAgo = time.Unix(1, 0)

// Abort ends whatever is being written or read; any goroutine may call it. The connection cannot be kept then.
func (c *Conn) Abort() {
	c.aborted.Store(true)
	_ = c.net.SetDeadline(longAgo) // as in Begin
}

// Keep gives the connection back to its pool: the answer was read to its end, and the node did not say close.
func (c *Conn) Keep() {
	if stopped := c.end(); !stopped || c.aborted.Load() {
		c.net.Close()
		return
	}
	c.pool.keep(c)
}

// Close ends the connection. Closed once more, nothing happens.
func (c *Conn) Close() {
	c.net.Close() // first, so that nothing waits for an answer any more
	c.end()
}

// Cut notes that not all of the request is going to be sent.
func (c *Conn) Cut() { c.cut = true }

// makeReader readies the connection for an answer.
func (c *Conn) makeReader() {
	if c.read == nil {
		c.read = readers.Get().(*bufio.Reader) //nolint:forcetypeassert // the pool holds nothing else
		c.read.Reset(c.net)
	}
}

// awaitListening waits until nothing else reads from the connection.
func (c *Conn) awaitListening() {
	if c.listening != nil {
		<-c.listening.done
		c.listening = nil
	}
}

// end lets nobody abort the call any more; false: somebody is about to.
func (c *Conn) end() (stopped bool) {
	stopped = c.stop == nil || c.stop()
	c.stop = nil
	if c.abortable {
		c.pool.settled(c)
		c.abortable = false
	}
	c.awaitListening()
	if c.read != nil {
		c.read.Reset(nil)
		readers.Put(c.read)
		c.read = nil
	}
	return stopped
}

// Detach gives the bare connection and what was read from it already, for a tunnel. The caller closes it.
func (c *Conn) Detach() (conn net.Conn, early []byte) {
	if c.read != nil {
		b, _ := c.read.Peek(c.read.Buffered()) // they are there
		early = append(early, b...)
	}
	c.end()
	return c.net, early
}

// alive tells whether an idle connection has neither ended nor said anything: nobody asked it, so it said goodbye. Without
// this look a call that comes as a node stops would meet a dead connection, and nobody could tell whether it was taken.
func (c *Conn) alive() bool {
	if c.raw == nil {
		return true
	}
	var got int
	var failed error
	var room [1]byte
	err := c.raw.Read(func(fd uintptr) bool {
		got, failed = syscall.Read(int(fd), room[:])
		return true // the socket does not block, and we do not wait
	})
	return err == nil && got < 0 && failed == syscall.EAGAIN //nolint:errorlint // an errno
}
