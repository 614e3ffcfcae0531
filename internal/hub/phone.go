package hub

import (
	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/delivery"
	"github.com/esh3artech/esh3ar/internal/wire"
	"github.com/esh3artech/esh3ar/signalr"
)

// backlogBytes bounds one ReceivePendingMessages, unless a single message is larger.
const backlogBytes = 64 << 10

// phone is delivery's view of a connection.
type phone struct{ conn *signalr.Conn }

// LastReceived realises delivery.Conn.
func (p *phone) LastReceived() int64 { return p.conn.LastReceived() }

// Refresh implements delivery.Conn.
func (p *phone) Refresh() { p.conn.Close("", true) }

// Probe implements delivery.Conn.
func (p *phone) Probe(answered func()) { p.conn.Probe(answered) }

// Push realises delivery.Conn: one write for the whole batch.
func (p *phone) Push(b delivery.Batch) bool {
	w := newInvocations(p.conn.Protocol())
	defer w.free()
	if b.Live {
		w.live(b.Pushes)
	} else {
		w.backlog(b.Pushes)
	}
	if w.err != nil {
		p.conn.Close("", true) // else the session would wait for room for ever
		return false
	}
	return p.conn.TryWrite(w.frame()) == nil
}

// live is one invocation per message.
func (w *invocations) live(pushes []delivery.Push) {
	for _, p := range pushes {
		w.argument = wire.AppendMessage(w.argument, p.Message, p.Attempt)
		w.invoke("ReceiveMessage")
	}
}

// backlog is as few invocations as their bound allows.
func (w *invocations) backlog(pushes []delivery.Push) {
	const target = "ReceivePendingMessages"
	for i, p := range pushes {
		opening := byte(',')
		if i == 0 {
			opening = '['
		}
		at := len(w.argument)
		w.argument = wire.AppendMessage(append(w.argument, opening), p.Message, p.Attempt)
		if at > 0 && len(w.argument) > backlogBytes { // the message begins an invocation of its own
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

// syncBytes bounds the result of one Sync in encoded bytes, unless a single message is larger. It is far above a hundred
// messages of the usual size; a hundred of the largest would take several MiB of the connection's outbox.
const syncBytes = 256 << 10

// AppendJSON encodes an array of the first messages that fit into syncBytes, at least one. Empty is the end of the history;
// the client asks for the rest after the last seq it got.
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
