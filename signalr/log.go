package signalr

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"time"
)

// logName returns the name of the connection in logs: its id, unless the id is also its secret connection token, as for
// clients of negotiate version 0. A reader of the logs must not be able to impersonate the client.
func (c *Conn) logName() string {
	if c.id != c.place.token {
		return c.id
	}
	sum := sha256.Sum256([]byte(c.id))
	return "sha256:" + hex.EncodeToString(sum[:8])
}

// logFailure logs why a call has failed: an error of the handler at Error, arguments that do not fit its parameters at Warn,
// a HubError, which is meant for the client, at Debug. The client sees less, see Options.DetailedErrors.
func (c *Call) logFailure(err error) {
	level, text := slog.LevelError, "signalr: handler returned an error"
	failed, bind := errors.AsType[*bindError](err)
	_, told := errors.AsType[*HubError](err)
	switch {
	case errors.Is(err, errPanicked) || errors.Is(err, errCanceledByClient):
		return // a panic is logged with its stack; a cancellation is no failure
	case bind:
		level, text = slog.LevelWarn, "signalr: arguments do not fit the handler's parameters"
		if failed.cause != nil {
			err = failed.cause
		}
	case told || c.conn.Context().Err() != nil || errors.Is(err, ErrUnauthorized):
		level = slog.LevelDebug
	}
	c.conn.server.opts.Logger.LogAttrs(context.Background(), level, text,
		slog.String("method", c.target), slog.String("connection", c.conn.logName()), slog.Any("error", err))
}

// logEnd logs how a connection has ended: at Info if it ended with an error, otherwise at Debug. User ids, credentials and
// messages are not logged; errors name the position in a malformed message, not its content.
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
