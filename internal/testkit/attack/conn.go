package attack

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// conn is one raw connection of an attacker. It ends with the context that it was dialed with.
type conn struct {
	*net.TCPConn
	r    *bufio.Reader
	v    *Victim
	stop func() bool

	refused bool // the server has not made it a WebSocket
}

// dial opens a connection at the pace of the victim.
func (v *Victim) dial(ctx context.Context) (*conn, error) {
	if !v.dials.wait(ctx) {
		return nil, ctx.Err()
	}
	dialer := net.Dialer{Timeout: 5 * time.Second}
	if v.From != nil {
		dialer.LocalAddr = &net.TCPAddr{IP: v.From}
	}
	raw, err := dialer.DialContext(ctx, "tcp", v.host)
	if err != nil {
		v.Answers.Refused.Add(1)
		return nil, err
	}
	v.Answers.Dialed.Add(1)
	tcp := raw.(*net.TCPConn) // the network is tcp
	c := &conn{TCPConn: tcp, r: bufio.NewReaderSize(tcp, 1024), v: v}
	c.stop = context.AfterFunc(ctx, func() { _ = tcp.SetDeadline(time.Unix(1, 0)) })
	return c, nil
}

// Close ends the connection with a reset, so that no port stays behind.
func (c *conn) Close() error {
	c.stop()
	_ = c.SetLinger(0) // a connection that is gone has nothing to linger for
	return c.TCPConn.Close()
}

// send writes text and reports whether all of it left.
func (c *conn) send(text string) bool {
	_, err := io.WriteString(c.TCPConn, text)
	return err == nil
}

// answer reads one response and counts it; 0 means that the connection ended before.
func (c *conn) answer() int {
	if _, err := c.r.Peek(1); err != nil {
		return 0
	}
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		if isMalformed(err) {
			c.v.Answers.addMalformed(err.Error())
		}
		return 0
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		if _, err := io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)); err != nil && isMalformed(err) {
			c.v.Answers.addMalformed(err.Error())
		}
	}
	c.v.Answers.add(resp.StatusCode)
	return resp.StatusCode
}

// beginning reads the head of one response and counts it; the body is left.
func (c *conn) beginning() int {
	resp, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return 0
	}
	c.v.Answers.add(resp.StatusCode)
	return resp.StatusCode
}

// isMalformed reports whether err is about the bytes of an answer, not about the connection.
func isMalformed(err error) bool {
	var network net.Error
	return !errors.As(err, &network) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
}

// linger reads nothing and waits until the server ends the connection or ctx ends. The bytes that come are left in the socket.
func (c *conn) linger(ctx context.Context) {
	<-ctx.Done()
}

// drain reads and discards until the connection ends.
func (c *conn) drain() {
	_, err := io.Copy(io.Discard, c.r)
	if err == nil || !errors.Is(err, context.DeadlineExceeded) {
		c.v.Answers.Ended.Add(1)
	}
}

// hold keeps n connections busy with act until ctx ends: what ends is dialed again.
func (v *Victim) hold(ctx context.Context, n int, act func(ctx context.Context, c *conn)) {
	var workers sync.WaitGroup
	for range n {
		workers.Go(func() {
			for ctx.Err() == nil {
				c, err := v.dial(ctx)
				if err != nil {
					if !pause(ctx, 200*time.Millisecond) {
						return
					}
					continue
				}
				act(ctx, c)
				_ = c.Close() // the attacker has no use for the error
				if c.refused && !pause(ctx, 200*time.Millisecond) {
					return
				}
			}
		})
	}
	workers.Wait()
}
