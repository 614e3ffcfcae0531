package netpoll

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// expectNotification calls ReadOrNotify on a socket without data. It returns a channel that receives each call of f.
func (r *fixture) expectNotification(c *Conn) chan struct{} {
	r.t.Helper()
	called := make(chan struct{}, 2)
	f := func() { called <- struct{}{} }
	if n, err := c.ReadOrNotify(make([]byte, 16), &f); n != 0 || err != nil {
		r.t.Fatalf("got %d bytes, %v; want 0, nil", n, err)
	}
	return called
}

// TestReadOrNotify_NothingAvailable_NotifiesOnce checks that f is called for data, an end, a deadline and a close, and only
// once.
func TestReadOrNotify_NothingAvailable_NotifiesOnce(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(r *fixture, server *Conn, client *net.TCPConn)
		want func(n int, err error) bool
	}{
		{"a word", func(r *fixture, _ *Conn, client *net.TCPConn) { r.write(client, "word") }, func(n int, err error) bool { return n == 4 && err == nil }},
		{"the peer's end", func(_ *fixture, _ *Conn, client *net.TCPConn) { _ = client.CloseWrite() }, func(n int, err error) bool { return n == 0 && errors.Is(err, io.EOF) }},
		{"a reset", func(_ *fixture, _ *Conn, client *net.TCPConn) {
			_ = client.SetLinger(0)
			_ = client.Close()
		}, func(n int, err error) bool { return n == 0 && err != nil && !errors.Is(err, io.EOF) }},
		{"a deadline", func(_ *fixture, server *Conn, _ *net.TCPConn) { _ = server.SetReadDeadline(time.Unix(1, 0)) }, func(n int, err error) bool { return n == 0 && isTimeout(err) }},
		{"our own end", func(_ *fixture, server *Conn, _ *net.TCPConn) { _ = server.Close() }, func(n int, err error) bool { return n == 0 && errors.Is(err, net.ErrClosed) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newFixture(t)
			server, client := r.pair()
			r.write(client, "before")
			r.read(server, "before") // so that the socket is known to be empty
			called := r.expectNotification(server)
			c.do(r, server, client)
			<-called
			again := func() { called <- struct{}{} }
			b := make([]byte, 16)
			n, err := server.ReadOrNotify(b, &again)
			for n == 0 && err == nil { // spurious calls are allowed
				<-called
				n, err = server.ReadOrNotify(b, &again)
			}
			if !c.want(n, err) {
				t.Errorf("got %d, %v after the notification", n, err)
			}
			server.in.signal() // as if there were more data, without a registration
			if len(called) != 0 {
				t.Error("f was called again")
			}
		})
	}
}

// TestReadOrNotify_DataAvailable_ReadsIt checks that f is not called if data is available.
func TestReadOrNotify_DataAvailable_ReadsIt(t *testing.T) {
	r := newFixture(t)
	server, client := r.pair()
	r.write(client, "words")
	r.read(server, "w") // the poller has seen it
	f := func() { t.Error("called") }
	b := make([]byte, 16)
	if n, err := server.ReadOrNotify(b, &f); err != nil || string(b[:n]) != "ords" {
		t.Errorf("got %q, %v; want ords", b[:n], err)
	}
}

// TestReadOrNotify_ConcurrentWrites_MissesNone writes each byte while the reader registers, with no later event that could
// replace a missed one.
func TestReadOrNotify_ConcurrentWrites_MissesNone(t *testing.T) {
	var peer sync.WaitGroup
	t.Cleanup(peer.Wait) // when its connection is closed
	r := newFixture(t)
	server, client := r.pair()
	const words = 5_000
	peer.Go(func() {
		b := make([]byte, 1)
		for i := range words {
			_, err := client.Write([]byte{byte(i)})
			if err == nil {
				_, err = client.Read(b)
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	called := make(chan struct{}, 1)
	f := func() { called <- struct{}{} }
	lost := time.After(time.Minute)
	b := make([]byte, 4)
	for got := 0; got < words; {
		switch n, err := server.ReadOrNotify(b, &f); {
		case err != nil || n == 1 && b[0] != byte(got) || n > 1:
			t.Fatalf("byte %d: got %d, %v", got, b[:n], err)
		case n == 1:
			got++
			r.write(server, "x")
		default:
			select {
			case <-called:
			case <-lost:
				t.Fatalf("no notification after %d bytes", got)
			}
		}
	}
	peer.Wait()
}
