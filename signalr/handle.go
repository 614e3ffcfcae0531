package signalr

import (
	"bytes"
	"sync"
)

var messages = sync.Pool{New: func() any { return new(message) }}

// handle does what one message asks for. What has to wait for its turn is returned: a call, or an item of a stream.
func (c *Conn) handle(record []byte) (*Call, *uploadItem) {
	m := messages.Get().(*message) //nolint:forcetypeassert // the pool holds nothing else
	defer messages.Put(m)
	if err := c.proto.parse(record, m); err != nil {
		c.end(protocolEnding(err))
		return nil, nil
	}
	c.server.counters.in(1)
	if c.state != nil && !c.admit(m) {
		return nil, nil
	}
	switch m.kind {
	case typeInvocation, typeStreamInvocation:
		return c.newCall(m), nil
	case typeStreamItem:
		return nil, &uploadItem{id: string(m.id), data: bytes.Clone(m.payload)}
	case typeCompletion:
		if !c.existing().requests.complete(m) {
			c.existing().uploads.finish(m)
		}
	case typePing: // a sign of life, as all that comes
	case typeCancelInvocation:
		c.in.cancel(m.id)
	case typeClose:
		c.end(clientEnding(m))
	}
	return nil, nil // everything else is unknown
}

// newCall copies what the handler will see out of the input.
func (c *Conn) newCall(m *message) *Call {
	call := &Call{
		conn:   c,
		id:     string(m.id),
		method: c.server.hub.lookup(m.target),
		stream: m.kind == typeStreamInvocation,
		args:   Arguments{proto: c.proto},
	}
	if call.method != nil {
		call.target = call.method.name
	} else {
		call.target = string(m.target)
	}
	if len(m.items) > 0 {
		own := bytes.Clone(m.arguments)
		call.args.items = make([][]byte, len(m.items))
		for i, s := range m.items {
			call.args.items[i] = own[s.from:s.to:s.to]
		}
	}
	call.size = len(m.id) + len(m.target) + len(m.arguments)
	for _, id := range m.streams {
		call.size += len(id)
	}
	call.admit(m.streams)
	return call
}
