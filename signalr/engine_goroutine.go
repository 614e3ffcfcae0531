package signalr

import (
	"net"
	"sync"
)

// goWire is a socket that is served by a goroutine for reads, and by another one for each write that is in progress.
type goWire struct {
	nc    net.Conn
	link  *webSocket
	early []byte

	mu    sync.Mutex
	moved sync.Cond // the answer to "is reading paused?" may have changed
	over  bool
}

var _ wire = (*goWire)(nil)

func newGoWire(nc net.Conn, l *webSocket) *goWire {
	w := &goWire{nc: nc, link: l}
	w.moved.L = &w.mu
	return w
}

// readSize is the size of the read buffer in bytes. It is small because each connection has one.
const readSize = 2 << 10

func (w *goWire) read() {
	w.readAll()
	w.abort()
	w.link.gone()
}

func (w *goWire) readAll() {
	defer w.link.conn.contain("reads of a socket")
	if len(w.early) > 0 {
		w.link.input(w.early)
		w.early = nil
	}
	b := make([]byte, readSize)
	for w.mayRead() {
		n, err := w.nc.Read(b)
		if n > 0 {
			w.link.input(b[:n])
		}
		if err != nil {
			break
		}
	}
}

// mayRead waits while reading is paused. It returns false when the socket is closed.
func (w *goWire) mayRead() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.over && w.link.conn.in.paused() {
		w.moved.Wait()
	}
	return !w.over
}

func (w *goWire) readsChanged() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moved.Broadcast()
}

// flush starts a goroutine, because it must not block and a write to this kind of socket may.
func (w *goWire) flush() {
	w.link.conn.server.spawn(w.write)
}

func (w *goWire) write() {
	defer w.link.conn.contain("writes of a socket")
	for b := w.link.advance(0); b != nil; {
		n, err := w.nc.Write(b)
		if err != nil {
			w.link.failed(err)
			return
		}
		b = w.link.advance(n)
	}
}

func (w *goWire) finish() { w.abort() }

func (w *goWire) finishWriting() {
	if half, ok := w.nc.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // fails if the peer was first, which the reads see as well
		return
	}
	w.abort()
}

func (w *goWire) abort() {
	w.mu.Lock()
	first := !w.over
	w.over = true
	w.moved.Broadcast()
	w.mu.Unlock()
	if first {
		_ = w.nc.Close() // the error does not matter: the socket is not used any more
	}
}
