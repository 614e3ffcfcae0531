package signalr

import (
	"encoding/binary"
	"errors"
	"sync/atomic"
)

// wire moves bytes over one socket. There is one kind per engine.
type wire interface {
	flush()
	readsChanged()
	finish() // end the socket in good order: both sides have said goodbye
	// finishWriting sends the end of the socket behind what was written. What the peer still sends is read and dropped: a
	// socket that is closed while input waits is reset, and takes the close frame along.
	finishWriting()
	abort()
}

// webSocket is a link over a WebSocket, whatever engine moves its bytes.
type webSocket struct {
	conn     *Conn
	wire     wire // nil until attached; the outbox is busy until then
	frames   frameReader
	received atomic.Bool  // the peer's close frame
	violated atomic.Bool  // the peer has violated the WebSocket protocol: none of its frames counts any more
	attached atomic.Bool  // it has a wire
	retired  bool         // another socket has taken over; the dispatcher's lock guards it
	dropped  atomic.Int32 // how the link was dropped, maybe before it had a wire
	noted    bool         // bytes of the hub stream of this input were noted; the reader's
}

const (
	notDropped = iota
	dropHangUp
	dropAbort
)

var (
	_ link         = (*webSocket)(nil)
	_ frameHandler = (*webSocket)(nil)
)

func (l *webSocket) kind() Transports { return WebSockets }
func (l *webSocket) binary() bool     { return true }
func (l *webSocket) polled() bool     { return false }
func (l *webSocket) beat(int64)       {}

func (l *webSocket) begin(dst []byte, n int) []byte {
	opcode := byte(opText)
	if p := l.conn.proto; p != nil && p.binary() {
		opcode = opBinary
	}
	return appendFrameHeader(dst, opcode, n)
}

func (l *webSocket) end(dst []byte) []byte { return dst }

func (l *webSocket) goodbye(dst []byte, code int) []byte {
	dst = appendFrameHeader(dst, opClose, 2)
	return binary.BigEndian.AppendUint16(dst, uint16(code))
}

func (l *webSocket) flush() { l.wire.flush() }

func (l *webSocket) readsChanged() {
	if l.attached.Load() { // if not, the wire asks when it begins
		l.wire.readsChanged()
	}
}

func (l *webSocket) advance(n int) []byte { return l.conn.out.advance(l, n) }
func (l *webSocket) failed(err error)     { l.conn.failed(l, err) }

func (l *webSocket) drained() {
	switch {
	case l.violated.Load():
		l.wire.finishWriting()
	case l.received.Load():
		l.wire.finish()
	}
}

func (l *webSocket) abort()  { l.drop(dropAbort) }
func (l *webSocket) hangUp() { l.drop(dropHangUp) }

func (l *webSocket) drop(how int32) {
	l.dropped.Store(how)
	if l.attached.Load() {
		l.dropNow()
	}
}

func (l *webSocket) dropNow() {
	switch l.dropped.Load() {
	case dropAbort:
		l.wire.abort()
	case dropHangUp:
		l.wire.finish()
	}
}

// attach gives the link its wire and lets go what was queued before. The wire's reads must not have begun.
func (l *webSocket) attach(w wire) {
	l.wire = w
	l.attached.Store(true)
	w.flush()
	l.dropNow()
}

// input handles bytes from the wire, which may reuse them afterwards. After a protocol error, all later bytes are dropped.
func (l *webSocket) input(b []byte) {
	defer l.conn.contain("input of a WebSocket")
	if l.frames.err != nil {
		return
	}
	l.noted = false
	l.conn.server.counters.bytesIn.Add(int64(len(b)))
	if err := l.frames.consume(b, l); err != nil {
		l.broken(err)
	}
}

// broken ends the connection whose peer has violated the WebSocket protocol.
func (l *webSocket) broken(err error) {
	if l.conn.replaced(l) {
		l.wire.abort()
		return
	}
	code := closeProtocol
	if violation, ok := errors.AsType[*webSocketError](err); ok {
		code = violation.code
	}
	// What follows makes no sense, and a close frame of the peer could not be made out: none is waited for.
	l.conn.end(ending{err: err, silent: true, code: code, status: StatusError})
	l.violated.Store(true)
	l.peerDone()
}

// peerDone notes that no more frames of the peer count, and ends the socket if nothing is left to be written.
func (l *webSocket) peerDone() {
	l.received.Store(true)
	if l.conn.out.finished() {
		l.drained()
	}
}

// gone tells that the socket is closed. It is the wire's last call.
func (l *webSocket) gone() { l.conn.linkGone(l) }

func (l *webSocket) data(b []byte) {
	if l.received.Load() || len(b) == 0 {
		return
	}
	if !l.noted { // once for each read: the clock costs more than a frame
		l.noted = true
		l.conn.heard()
	}
	l.conn.in.receiveFrom(l, b)
}

func (l *webSocket) control(opcode byte, payload []byte) {
	switch opcode {
	case opPing:
		if l.conn.replaced(l) {
			return
		}
		pong := appendFrameHeader(make([]byte, 0, 2+controlLimit), opPong, len(payload))
		l.conn.out.control(append(pong, payload...))
	case opPong:
		l.pong(payload)
	case opClose:
		switch {
		case l.received.Load():
		case l.conn.replaced(l):
			l.wire.finish()
		default:
			l.conn.inputEnded(false)
			l.peerDone()
		}
	}
}
