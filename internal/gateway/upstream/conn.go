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

// Conn is a connection to a node, for one call at a time.
type Conn struct {
	pool  *Pool
	net   net.Conn
	raw   syscall.RawConn // of the TCP connection, also below TLS; nil if not available
	since time.Time       // start of the idle time

	read      *bufio.Reader // set while a response is read
	sent      int64         // bytes of this request accepted by the kernel
	truncated bool          // the request was not sent completely
	shown     int           // bytes returned by PeekBody that are still in the reader
	readErr   error         // first error of reading the response; final
	rest      rest          // unread part of the response's body
	listening *Listening    // concurrent wait for the response while the request is sent; nil if none
	abortable bool
	stop      func() bool // unregisters Abort from the call's context
	aborted   atomic.Bool
}

// maxHead bounds the head of a response, in bytes. It is also the size of the reader.
const maxHead = 8 << 10

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, maxHead) }}

// Begin prepares the connection for a call with this deadline; zero: no deadline. The call is aborted when ctx is done, and by
// AbortAll if it is abortable.
func (c *Conn) Begin(ctx context.Context, deadline time.Time, abortable bool) {
	c.sent = 0
	c.shown = 0
	c.abortable = abortable
	c.readErr, c.rest = nil, rest{}
	_ = c.net.SetDeadline(deadline) // fails only on a closed connection, and then the write fails, too
	c.stop = context.AfterFunc(ctx, c.Abort)
	if abortable {
		c.pool.abortable(c)
	}
}

// Write sends a part of the request.
func (c *Conn) Write(p []byte) (int, error) {
	n, err := c.net.Write(p)
	c.sent += int64(n)
	c.truncated = c.truncated || err != nil
	return n, err
}

// Writev sends several parts with one system call. It consumes the slice.
func (c *Conn) Writev(parts *net.Buffers) error {
	n, err := parts.WriteTo(c.net)
	c.sent += n
	c.truncated = c.truncated || err != nil
	return err
}

// Sent reports whether at least one byte of the request may have reached the node.
func (c *Conn) Sent() bool { return c.sent > 0 }

// Aborted reports whether Abort was called during this call.
func (c *Conn) Aborted() bool { return c.aborted.Load() }

// Extend sets a new deadline; zero: none. An aborted call stays aborted.
func (c *Conn) Extend(deadline time.Time) {
	_ = c.net.SetDeadline(deadline) // as in Begin
	if c.aborted.Load() {
		_ = c.net.SetDeadline(longAgo)
	}
}

// ExtendWrite sets a new write deadline and removes the read deadline, which starts after the request was sent.
func (c *Conn) ExtendWrite(deadline time.Time) {
	_ = c.net.SetWriteDeadline(deadline) // as in Begin
	_ = c.net.SetReadDeadline(time.Time{})
	if c.aborted.Load() {
		_ = c.net.SetDeadline(longAgo)
	}
}

// longAgo is a deadline in the past.
var longAgo = time.Unix(1, 0)

// Abort ends reads and writes in progress. It may be called from any goroutine. The connection cannot be reused afterwards.
func (c *Conn) Abort() {
	c.aborted.Store(true)
	_ = c.net.SetDeadline(longAgo) // as in Begin
}

// Keep returns the connection to its pool. The whole response must have been read, and must not have Connection: close.
func (c *Conn) Keep() {
	if stopped := c.end(); !stopped || c.aborted.Load() {
		c.net.Close()
		return
	}
	c.pool.keep(c)
}

// Close closes the connection. Further calls do nothing.
func (c *Conn) Close() {
	c.net.Close() // first, so that a concurrent wait for the response ends
	c.end()
}

// MarkTruncated records that the request will not be sent completely.
func (c *Conn) MarkTruncated() { c.truncated = true }

// makeReader prepares the connection for a response.
func (c *Conn) makeReader() {
	if c.read == nil {
		c.read = readers.Get().(*bufio.Reader) //nolint:forcetypeassert // the pool holds nothing else
		c.read.Reset(c.net)
	}
}

// awaitListening waits until no other goroutine reads from the connection.
func (c *Conn) awaitListening() {
	if c.listening != nil {
		<-c.listening.done
		c.listening = nil
	}
}

// end ends the call and makes it not abortable. It returns false if an abort has already started.
func (c *Conn) end() (stopped bool) {
	stopped = c.stop == nil || c.stop()
	c.stop = nil
	if c.abortable {
		c.pool.notAbortable(c)
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

// Detach returns the underlying connection and the bytes already read from it, for a tunnel. The caller must close it.
func (c *Conn) Detach() (conn net.Conn, early []byte) {
	if c.read != nil {
		b, _ := c.read.Peek(c.read.Buffered()) // buffered
		early = append(early, b...)
	}
	c.end()
	return c.net, early
}

// alive reports whether an idle connection is open and has no unread data; the node sends data without a request only before
// it closes. Without this check, a call during a node's shutdown could be sent on a closed connection, with unknown outcome.
func (c *Conn) alive() bool {
	if c.raw == nil {
		return true
	}
	var got int
	var failed error
	var room [1]byte
	err := c.raw.Read(func(fd uintptr) bool {
		got, failed = syscall.Read(int(fd), room[:])
		return true // never wait: the socket is non-blocking
	})
	return err == nil && got < 0 && failed == syscall.EAGAIN //nolint:errorlint // an errno
}
