package hub

import (
	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/delivery"
	"github.com/esh3artech/esh3ar/internal/wire"
	"github.com/esh3artech/esh3ar/signalr"
)

// backlogBytes bounds one ReceivePendingMessages, unless a single message is larger.
const backlogBytes = 64 << 10

// phone implements delivery.Conn for a connection.
type phone struct{ conn *signalr.Conn }

// LastReceived implements delivery.Conn.
func (p *phone) LastReceived() int64 { return p.conn.LastReceived() }

// Refresh implements delivery.Conn.
func (p *phone) Refresh() { p.conn.Close("", true) }

// Probe implements delivery.Conn.
func (p *phone) Probe(answered func()) { p.conn.Probe(answered) }

// Push implements delivery.Conn. It writes the whole batch at once.
func (p *phone) Push(b delivery.Batch) bool {
	w := newInvocations(p.conn.Protocol())
	defer w.free()
	if b.Live {
		w.live(b.Pushes)
	} else {
		w.backlog(b.Pushes)
	}
	if w.err != nil {
		p.conn.Close("", true) // otherwise the session would wait for the connection to become writable for ever
		return false
	}
	return p.conn.TryWrite(w.frame()) == nil
}

// live appends one invocation per message.
func (w *invocations) live(pushes []delivery.Push) {
	for _, p := range pushes {
		w.argument = wire.AppendMessage(w.argument, p.Message, p.Attempt)
		w.invoke("ReceiveMessage")
	}
}

// backlog appends as few invocations as backlogBytes allows.
func (w *invocations) backlog(pushes []delivery.Push) {
	const target = "ReceivePendingMessages"
	for i, p := range pushes {
		opening := byte(',')
		if i == 0 {
			opening = '['
		}
		at := len(w.argument)
		w.argument = wire.AppendMessage(append(w.argument, opening), p.Message, p.Attempt)
		if at > 0 && len(w.argument) > backlogBytes { // the message starts another invocation
			message := append([]byte{'['}, w.argument[at+1:]...)
			w.argument = append(w.argument[:at], ']')
			w.invoke(target)
			w.argument = append(w.argument, message...)
		}
	}
	w.argument = append(w.argument, ']')
	w.invoke(target)
}

// messages is the result of Sync.
type messages []esh3ar.Record

// syncBytes bounds the result of one Sync, in encoded bytes, unless a single message is larger. A hundred messages of usual
// size are far below it; a hundred of the largest would take several MiB of the connection's outbox.
const syncBytes = 256 << 10

// AppendJSON appends an array of the messages that fit into syncBytes, at least one. The client requests the rest with the last
// seq that it got; an empty array is the end of the history.
func (m messages) AppendJSON(dst []byte) ([]byte, error) {
	start := len(dst)
	dst = append(dst, '[')
	for i := range m {
		before := len(dst)
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = wire.AppendMessage(dst, &m[i].Message, max(m[i].Attempts, 1))
		if i > 0 && len(dst)-start >= syncBytes {
			dst = dst[:before]
			break
		}
	}
	return append(dst, ']'), nil
}
