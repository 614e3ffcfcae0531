package hub

import (
	"sync"

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

// buffers are for encoding; what leaves is copied by the connection's outbox.
var buffers = sync.Pool{New: func() any { return new([]byte) }}

// Push realises delivery.Conn: one write for the whole batch.
func (p *phone) Push(b delivery.Batch) bool {
	buffer := buffers.Get().(*[]byte) //nolint:forcetypeassert // the pool holds nothing else
	defer buffers.Put(buffer)
	if b.Live {
		*buffer = appendLive((*buffer)[:0], b.Pushes)
	} else {
		*buffer = appendBacklog((*buffer)[:0], b.Pushes)
	}
	return p.conn.TryWrite(signalr.JSONFrame(*buffer)) == nil
}

const (
	liveHead    = `{"type":1,"target":"ReceiveMessage","arguments":[`
	backlogHead = `{"type":1,"target":"ReceivePendingMessages","arguments":[[`
)

// appendLive is one invocation per message.
func appendLive(dst []byte, pushes []delivery.Push) []byte {
	for _, p := range pushes {
		dst = wire.AppendMessage(append(dst, liveHead...), p.Message, p.Attempt)
		dst = append(dst, "]}\x1e"...)
	}
	return dst
}

// appendBacklog is as few invocations as their bound allows.
func appendBacklog(dst []byte, pushes []delivery.Push) []byte {
	start := 0
	for i, p := range pushes {
		if i == 0 {
			start = len(dst)
			dst = append(dst, backlogHead...)
		} else {
			dst = append(dst, ',')
		}
		at := len(dst)
		dst = wire.AppendMessage(dst, p.Message, p.Attempt)
		if i > 0 && len(dst)-start > backlogBytes { // the message begins an invocation of its own
			message := append([]byte(nil), dst[at:]...)
			dst = append(dst[:at-1], "]]}\x1e"...)
			start = len(dst)
			dst = append(append(dst, backlogHead...), message...)
		}
	}
	return append(dst, "]]}\x1e"...)
}

// messages is the result of Sync.
type messages []esh3ar.Record

// AppendJSON encodes an array, empty at the end of the history.
func (m messages) AppendJSON(dst []byte) ([]byte, error) {
	dst = append(dst, '[')
	for i := range m {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = wire.AppendMessage(dst, &m[i].Message, max(m[i].Attempts, 1))
	}
	return append(dst, ']'), nil
}
