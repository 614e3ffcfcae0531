package signalr

import (
	"fmt"
	"slices"
)

// Versions of the hub protocols. Older versions than the newest are accepted, without the features of later ones.
const (
	maxHandshakeVersion = 2
	statefulVersion     = 2 // first version with stateful reconnect
)

const (
	handshakeFailed   = "An unexpected error occurred during connection handshake."
	handshakeCanceled = "Handshake was canceled."
)

// handshakeRequest is the first record of every connection. It is JSON for every hub protocol.
type handshakeRequest struct {
	protocol string
	version  int64
}

func parseHandshake(record []byte) (h handshakeRequest, err error) {
	if err = validUTF8(record); err != nil {
		return h, err
	}
	var m message
	p := jsonParser{scanner: scanner{b: record}, m: &m}
	var seenProtocol, seenVersion bool
	err = p.object(1, func(key []byte) (err error) {
		switch string(key) {
		case "protocol":
			var text []byte
			text, seenProtocol, err = p.stringOrNull()
			h.protocol = string(text)
		case "version":
			seenVersion = true
			h.version, err = p.integer()
		default:
			_, err = p.value(1)
		}
		return err
	})
	switch {
	case err != nil:
		return h, err
	case !p.atEnd():
		return h, p.fail("text after the handshake")
	case !seenProtocol:
		return h, dataErrorf("Missing required property 'protocol'.")
	case !seenVersion:
		return h, dataErrorf("Missing required property 'version'.")
	}
	return h, nil
}

func appendHandshakeReply(dst []byte, failure string) []byte {
	if failure == "" {
		return append(dst, '{', '}', recordSeparator)
	}
	dst = appendJSONString(append(dst, `{"error":`...), failure)
	return append(dst, '}', recordSeparator)
}

// handshake handles the client's first record. tooLong is not nil if the record exceeds the limit.
func (c *Conn) handshake(record []byte, tooLong error) {
	if tooLong != nil {
		c.rejectHandshake(handshakeCanceled, tooLong)
		return
	}
	h, err := parseHandshake(record)
	if err != nil {
		text := handshakeFailed
		if c.server.opts.DetailedErrors {
			text = errorText(text, err, true)
		}
		c.rejectHandshake(text, err)
		return
	}
	proto := c.server.protocol(h.protocol)
	if proto == nil {
		c.rejectHandshake("The protocol '"+h.protocol+"' is not supported.", errHandshake)
		return
	}
	if text := c.unfit(proto, h.version); text != "" {
		c.rejectHandshake(text, errHandshake)
		return
	}
	c.welcome(proto, h.version)
}

// unfit returns the reason why the connection cannot use the protocol, "" if it can.
func (c *Conn) unfit(proto protocol, version int64) string {
	switch {
	case version > maxHandshakeVersion:
		return fmt.Sprintf("The server does not support version %d of the '%s' protocol.", version, proto.name())
	case proto.binary() && !c.transport().binary():
		return "Cannot use the '" + proto.name() + "' protocol on the current transport. The transport does not support 'Binary' transfer format."
	default:
		return ""
	}
}

// protocol returns the protocol with this name, nil if this server does not support it.
func (s *Server) protocol(name string) protocol {
	p := protocolByName(name)
	if p != nil && s.opts.Protocols != nil && !slices.Contains(s.opts.Protocols, p.name()) {
		return nil
	}
	return p
}

var errHandshake = dataErrorf("handshake refused")

func (c *Conn) rejectHandshake(text string, err error) {
	c.end(ending{err: err, reply: appendHandshakeReply(nil, text), code: closeNormal, status: StatusError})
}

// welcome opens the connection. It queues the handshake response before others can find the connection and send to it.
func (c *Conn) welcome(proto protocol, version int64) {
	c.out.mu.Lock() // the heartbeat may be refusing the handshake concurrently
	c.proto = proto
	if c.state != nil {
		c.state.active = version >= statefulVersion
	}
	c.out.mu.Unlock()
	hook := c.server.hub.OnConnected
	c.in.handshakeDone(hook != nil)
	if c.out.putUntracked(appendHandshakeReply(nil, "")) != nil || !c.life.phase.CompareAndSwap(phaseHandshake, phaseOpen) {
		// The connection has ended in the meantime. OnConnected did not run, so OnDisconnected does not run either.
		if hook != nil {
			c.in.open()
		}
		return
	}
	if hook == nil {
		c.connected()
	}
	c.server.registry.show(c)
	if hook == nil {
		return
	}
	c.server.spawn(func() {
		err := errPanicked
		c.protect("OnConnected", func() { err = hook(c) })
		if err == nil {
			c.connected()
		} else {
			c.end(ending{err: err, text: errorText(closedText, err, c.server.opts.DetailedErrors), code: closeNormal, status: StatusError})
		}
		c.in.open()
	})
}

func (c *Conn) connected() {
	c.life.mu.Lock()
	c.life.connected = true
	c.life.mu.Unlock()
}
