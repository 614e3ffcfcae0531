package signalr

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"time"
)

// logName is what a connection is called in logs: its id, unless that is what its requests are known by, as for clients
// of negotiate version 0. Who reads logs must not be able to speak for it.
func (c *Conn) logName() string {
	if c.id != c.place.token {
		return c.id
	}
	sum := sha256.Sum256([]byte(c.id))
	return "sha256:" + hex.EncodeToString(sum[:8])
}

// logEnd tells how a connection has ended: at Info what went wrong, at Debug all else. Users, credentials and what was
// sent are not logged; errors say where a message is wrong and not what it holds.
func (c *Conn) logEnd(e *ending, lasted time.Duration) {
	level := slog.LevelDebug
	if e.status == StatusError {
		level = slog.LevelInfo
	}
	log := c.server.opts.Logger
	if !log.Enabled(context.Background(), level) {
		return
	}
	protocol := "" // the handshake failed
	if c.proto != nil {
		protocol = c.proto.name()
	}
	log.LogAttrs(context.Background(), level, "signalr: connection ended",
		slog.String("connection", c.logName()), slog.String("transport", c.Transport()), slog.String("protocol", protocol),
		slog.String("status", e.status), slog.Duration("lasted", lasted), slog.Any("error", e.err))
}
