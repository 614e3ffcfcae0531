package signalr

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// Statuses of an ended connection, under OpenTelemetry's names where it has one.
const (
	StatusNormal   = "normal_closure"
	StatusTimeout  = "timeout"
	StatusShutdown = "app_shutdown"
	StatusError    = "error"
)

// Phases of a connection.
const (
	phaseHandshake = iota
	phaseOpen
	phaseClosing
)

// closedText is the error text that a client sees unless Options.DetailedErrors is set.
const closedText = "Connection closed with an error."

var errCanceledByClient = errors.New("signalr: call was canceled by the client")

// ending describes how a connection ends. Only the first one counts.
type ending struct {
	err            error  // for OnDisconnected
	text           string // error of the Close message
	allowReconnect bool
	silent         bool   // no Close message: the client is gone, or has been informed in another way
	reply          []byte // response to a refused handshake, sent instead of a Close message; nil if none
	abort          bool   // drop the transport at once
	peer           bool   // the client ended the connection, or is gone
	code           int    // status code of the WebSocket close frame
	status         string
}

// life is the life-cycle state of a connection.
type life struct {
	phase   atomic.Int32
	partial int32 // age of the connection in seconds, at least 1, when the partial message at the end of the input began; 0 if none; guarded by dispatcher.mu
	started int64

	mu        sync.Mutex
	ending    *ending
	endedAt   int64 // time at which the ending began or the input ended; 0 before
	connected bool  // OnConnected succeeded, so OnDisconnected must run
	appDone   bool
	linkDone  bool
	ctx       context.Context //nolint:containedctx // created on demand, see Conn.Context
	cancel    context.CancelCauseFunc
}

func (l *life) context() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx == nil {
		l.ctx, l.cancel = context.WithCancelCause(context.Background())
		if l.ending != nil {
			l.cancel(ErrClosed)
		}
	}
	return l.ctx
}

// Abort closes the connection and tells the client not to reconnect automatically. OnDisconnected gets a nil error.
// Messages sent before Abort are still delivered.
func (c *Conn) Abort() {
	c.end(ending{code: closeNormal, status: StatusNormal})
}

// Close closes the connection. It sends the client an error text, which may be empty, and whether it may reconnect.
// OnDisconnected gets a [*CloseError]. Messages sent before Close are still delivered; later sends fail.
func (c *Conn) Close(text string, allowReconnect bool) {
	c.end(ending{
		err:  &CloseError{Text: text, AllowReconnect: allowReconnect},
		text: text, allowReconnect: allowReconnect, code: closeNormal, status: StatusNormal,
	})
}

func protocolEnding(err error) ending {
	return ending{err: err, text: closedText, allowReconnect: true, code: closeNormal, status: StatusError}
}

// clientEnding returns the ending for a Close message of the client.
func clientEnding(m *message) ending {
	e := ending{code: closeNormal, status: StatusNormal, peer: true}
	if m.errorText != "" {
		e.err = errors.New(m.errorText)
	}
	return e
}

// end begins to close the connection. Only the first call has an effect. It never blocks.
func (c *Conn) end(e ending) {
	l := &c.life
	l.mu.Lock()
	if l.ending != nil {
		l.mu.Unlock()
		return
	}
	if c.server.opts.DetailedErrors && e.err != nil && e.text == closedText {
		e.text = errorText(closedText, e.err, true)
	}
	l.ending = &e
	l.endedAt = c.server.time()
	open := l.phase.Swap(phaseClosing) == phaseOpen
	cancel := l.cancel
	detached := c.state != nil && c.state.detached != 0
	l.mu.Unlock()

	c.server.registry.hide(c)
	c.endExtras()
	if e.abort {
		c.out.kill()
	} else {
		c.out.seal(c.closeMessage(&e, open), e.code)
	}
	if cancel != nil {
		cancel(ErrClosed)
	}
	c.in.stop()
	switch {
	case detached:
		c.linkOver()
	case e.abort:
		c.transport().abort()
	}
}

// closeMessage returns the last message of the connection, nil if there is none.
func (c *Conn) closeMessage(e *ending, open bool) []byte {
	switch {
	case e.reply != nil:
		return e.reply
	case e.silent || !open:
		return nil
	default:
		return c.proto.appendClose(nil, e.text, e.allowReconnect)
	}
}

// inputEnded is called by the link when no more input will come. If gone is set, nothing can be written either.
func (c *Conn) inputEnded(gone bool) {
	c.life.mu.Lock()
	if c.life.endedAt == 0 {
		c.life.endedAt = c.server.time()
	}
	c.life.mu.Unlock()
	if gone {
		c.out.kill()
	}
	c.in.end()
}

// failed is called by the link when a write has failed: the connection ends with err, or is detached.
func (c *Conn) failed(l link, err error) {
	if c.keepFrom(l, err) {
		return
	}
	c.end(ending{err: err, abort: true, status: StatusError, peer: !errors.Is(err, errSendTimeout)})
}

// EndedByClient reports whether the client closed the connection or lost it. It returns false if the application, the
// server, a timeout or an expired credential ended the connection. The result is valid from OnDisconnected on.
func (c *Conn) EndedByClient() bool {
	c.life.mu.Lock()
	defer c.life.mu.Unlock()
	return c.life.ending != nil && c.life.ending.peer
}

// linkGone is called by the link, once, as its last call.
func (c *Conn) linkGone(l link) {
	if !c.detach(l) {
		c.linkOver()
	}
}

// linkOver marks the transport side of the connection as ended.
func (c *Conn) linkOver() {
	c.inputEnded(true)
	c.life.mu.Lock()
	c.life.linkDone = true
	c.life.mu.Unlock()
	c.removeIfOver()
}

// finishApplication runs OnDisconnected if OnConnected succeeded. It is called once, after the last handler has returned.
func (c *Conn) finishApplication() {
	c.life.mu.Lock()
	owed, err := c.life.connected, c.life.ending.err
	c.life.mu.Unlock()
	hook := c.server.hub.OnDisconnected
	if !owed || hook == nil {
		c.applicationDone()
		return
	}
	c.server.spawn(func() {
		c.protect("OnDisconnected", func() { hook(c, err) })
		c.applicationDone()
	})
}

// ending reports whether the connection has begun to end, so that it cannot be resumed.
func (c *Conn) ending() bool {
	c.life.mu.Lock()
	defer c.life.mu.Unlock()
	return c.life.endedAt != 0
}

func (c *Conn) applicationDone() {
	c.life.mu.Lock()
	c.life.appDone = true
	c.life.mu.Unlock()
	c.removeIfOver()
}

// removeIfOver removes the connection from the registry when both its application side and its link have ended.
func (c *Conn) removeIfOver() {
	c.life.mu.Lock()
	over := c.life.appDone && c.life.linkDone
	e := c.life.ending
	c.life.mu.Unlock()
	if !over || !c.server.registry.remove(c) {
		return
	}
	lasted := time.Duration(c.server.time() - c.life.started)
	c.server.counters.over(c.transport().kind(), e.status, lasted)
	c.logEnd(e, lasted)
	if f := c.server.opts.ConnectionEnded; f != nil {
		c.protect("ConnectionEnded", func() { f(Ended{Transport: c.Transport(), Status: e.status, Duration: lasted}) })
	}
}
