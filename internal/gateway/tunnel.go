package gateway

import (
	"net"
	"net/http"
	"sync"

	"github.com/esh3artech/esh3ar/internal/gateway/upstream"
)

// tunnel copies data between the client's connection and that of a node that has agreed to switch protocols, until either
// ends or the gateway stops.
func (t *attempt) tunnel(c *upstream.Conn) {
	t.status = http.StatusSwitchingProtocols
	up, early := c.Detach()
	defer up.Close()
	if !t.g.tunnels.Enter() {
		t.answerProblem(overloaded, "this gateway is stopping")
		return
	}
	defer t.g.tunnels.Leave()
	down, rw, err := http.NewResponseController(t.w).Hijack()
	if err != nil {
		t.g.opts.Log.Error("take over a caller's connection", "requestId", t.requestID[0], "error", err)
		t.answerProblem(overloaded, "the connection cannot be taken over")
		return
	}
	defer down.Close()
	if _, err := down.Write(append(switching(t.w.Header()), early...)); err != nil {
		return // the caller has gone
	}
	late, _ := rw.Reader.Peek(rw.Reader.Buffered()) // they are there
	if _, err := up.Write(late); err != nil {
		return // the node has gone
	}
	copyBoth(t, up, down)
}

// switching is the node's answer again.
func switching(h http.Header) []byte {
	head := []byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n")
	for name, values := range h {
		for _, value := range values {
			head = appendLine(head, name, value)
		}
	}
	return append(head, "\r\n"...)
}

// copyBoth copies in both directions until one side ends, and closes both.
func copyBoth(t *attempt, up, down net.Conn) {
	stop := func() { up.Close(); down.Close() }
	done := make(chan struct{})
	var watch, copies sync.WaitGroup
	watch.Go(func() {
		select {
		case <-t.g.ended.Done():
			stop()
		case <-done:
		}
	})
	pump := func(to, from net.Conn) {
		defer t.g.contain("tunnel")
		defer stop() // the end of either side ends both
		t.pump(to, from)
	}
	copies.Go(func() { pump(up, down) })
	copies.Go(func() { pump(down, up) })
	copies.Wait()
	close(done)
	watch.Wait()
}

// pump copies in one direction until the source ends or the destination does not read in time. io.Copy has no such bound, and
// would use a kernel pipe, two more descriptors, for each direction.
func (t *attempt) pump(to, from net.Conn) {
	room := make([]byte, 4<<10)
	for {
		n, err := from.Read(room)
		_ = to.SetWriteDeadline(t.g.opts.Now().Add(t.g.opts.WriteTimeout)) // fails only on a closed connection, and then the write fails, too
		if _, wrong := to.Write(room[:n]); err != nil || wrong != nil {
			return
		}
	}
}
