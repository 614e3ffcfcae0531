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

// closedText is all that a client learns of an error unless errors are detailed.
const closedText = "Connection closed with an error."

var errCanceledByClient = errors.New("signalr: call was canceled by the client")

// ending says how a connection ends. The first one counts.
type ending struct {
	err            error  // for OnDisconnected
	text           string // error of the Close message
	allowReconnect bool
	silent         bool   // no Close message: the client has gone, or has been told otherwise
	reply          []byte // in place of a Close message: a refused handshake
	abort          bool   // drop the transport at once
	peer           bool   // the client ended it, or is gone
	code           int    // of the WebSocket close frame
	status         string
}

// life is how far a connection has come.
type life struct {
	phase   atomic.Int32
	partial int32 // age in seconds, from 1 on, when the message at the end of the input began; 0 if that is whole; the dispatcher's lock guards it
	started int64

	mu        sync.Mutex
	ending    *ending
	endedAt   int64 // when the ending began, or the input ended
	connected bool  // OnConnected succeeded, so OnDisconnected is owed
	appDone   bool
	linkDone  bool
	ctx       context.Context //nolint:containedctx // made on demand, see Conn.Context
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

// Abort closes the connection by the hub's own decision: its client is not to come back by itself, and OnDisconnected
// gets no error. What was sent before is still delivered.
func (c *Conn) Abort() {
	c.end(ending{code: closeNormal, status: StatusNormal})
}

// Close closes the connection with a text that its client is shown (may be empty) and tells it whether to come back.
// OnDisconnected gets a [*CloseError]. What was sent before is still delivered, nothing is sent after.
func (c *Conn) Close(text string, allowReconnect bool) {
	c.end(ending{
		err:  &CloseError{Text: text, AllowReconnect: allowReconnect},
		text: text, allowReconnect: allowReconnect, code: closeNormal, status: StatusNormal,
	})
}

func protocolEnding(err error) ending {
	return ending{err: err, text: closedText, allowReconnect: true, code: closeNormal, status: StatusError}
}

// clientEnding answers the client's own Close message.
func clientEnding(m *message) ending {
	e := ending{code: closeNormal, status: StatusNormal, peer: true}
	if m.errorText != "" {
		e.err = errors.New(m.errorText)
	}
	return e
}

// end begins the end of the connection; only the first call does. It never blocks.
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
		c.out.seal(c.lastWords(&e, open), e.code)
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

// lastWords returns the last message of the connection, nil for none.
func (c *Conn) lastWords(e *ending, open bool) []byte {
	switch {
	case e.reply != nil:
		return e.reply
	case e.silent || !open:
		return nil
	default:
		return c.proto.appendClose(nil, e.text, e.allowReconnect)
	}
}

// inputEnded is told by the link that the client will send no more; gone says that it cannot be sent anything either.
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

// failed is told by the link that writing failed: the client is gone with an error.
func (c *Conn) failed(l link, err error) {
	if c.keepFrom(l, err) {
		return
	}
	c.end(ending{err: err, abort: true, status: StatusError, peer: !errors.Is(err, errSendTimeout)})
}

// EndedByClient tells, in OnDisconnected and later, whether the client closed the connection or vanished: not the
// application, not the server, not a timeout, not an expired credential.
func (c *Conn) EndedByClient() bool {
	c.life.mu.Lock()
	defer c.life.mu.Unlock()
	return c.life.ending != nil && c.life.ending.peer
}

// linkGone is told by the link, once, after its last call of anything else.
func (c *Conn) linkGone(l link) {
	if !c.detach(l) {
		c.linkOver()
	}
}

// linkOver ends what the connection has to do with transports.
func (c *Conn) linkOver() {
	c.inputEnded(true)
	c.life.mu.Lock()
	c.life.linkDone = true
	c.life.mu.Unlock()
	c.removeIfOver()
}

// finishApplication runs OnDisconnected if it is owed. It is called once, when no handler runs any more.
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

// ending reports that there is no way back to the connection.
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

// removeIfOver takes the connection out of the books when both its application and its link have ended.
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
