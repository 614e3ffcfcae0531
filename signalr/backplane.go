package signalr

import (
	"context"
	"errors"
)

// Backplane connects the servers of several nodes. It transfers opaque messages over a transport of its choice. Its methods
// must be safe for concurrent use.
//
// A send is delivered at most once per node and connection. Messages of one goroutine arrive in order if the backplane
// preserves their order. An application that needs stronger guarantees must store its messages itself.
type Backplane interface {
	// Publish transfers a message to the other nodes, each of which passes it to [Server.Deliver]. The target names the
	// clients it is for; sending it to nodes without such clients is allowed. Publish returns when the message is queued.
	Publish(ctx context.Context, to Target, message []byte) error
	// Request transfers a message to the node that holds a connection, which passes it to [Server.Answer], and returns
	// the answer. It returns [ErrNoConnection] if no other node holds the connection.
	Request(ctx context.Context, connectionID string, message []byte) ([]byte, error)
}

// ErrNoConnection is returned when no connection has the given id.
var ErrNoConnection = errors.New("signalr: no such connection")

// noConnectionError is ErrNoConnection with the error text of Microsoft's server.
type noConnectionError struct{ id string }

func (e *noConnectionError) Error() string { return "Connection '" + e.id + "' does not exist." }
func (e *noConnectionError) Unwrap() error { return ErrNoConnection }

// Kinds of messages between nodes. Newer versions may add kinds, and items at the end of a message.
const (
	planeSend   = 1 // [kind, target's kind, names, exceptions, JSON frames, MessagePack frames]
	planeInvoke = 2 // [kind, connection, method, arguments as a MessagePack array]
	planeJoin   = 3 // [kind, connection, group]
	planeLeave  = 4
)

// Answers to planeInvoke, planeJoin and planeLeave: [kind, protocol, data], or [kind, text].
const (
	planeResult       = 1
	planeClientError  = 2
	planeNobody       = 3
	planeDisconnected = 4
	planeFailed       = 5
)

// publish sends a message to the other nodes, encoded for both protocols, because they may have clients of either.
func (t Target) publish(ctx context.Context, e *multicast) error {
	var failed []error
	for _, p := range protocols {
		_, err := e.in(p)
		failed = append(failed, err)
	}
	b := appendPackArray(nil, 6)
	b = appendPackStrings(append(b, planeSend, byte(t.Kind)), t.Names)
	b = appendPackStrings(b, t.Except)
	for i := range protocols {
		var all []byte
		for _, f := range e.frames {
			all = append(all, f.encoded[i]...)
		}
		b = appendPackBinary(b, all)
	}
	failed = append(failed, t.server.opts.Backplane.Publish(ctx, t, b))
	return errors.Join(failed...)
}

func appendPackStrings(dst []byte, list []string) []byte {
	dst = appendPackArray(dst, len(list))
	for _, s := range list {
		dst = appendPackString(dst, s)
	}
	return dst
}

// Deliver sends a message that another node has published to the connections of this node. It waits for slow clients until
// ctx ends.
func (s *Server) Deliver(ctx context.Context, message []byte) (err error) {
	err = errPlane // the result after a panic
	defer s.containPlane()
	p := planeReader{packScanner{b: message}, nil}
	p.array()
	kind, to := p.number(), Target{server: s}
	to.Kind, to.Names, to.Except = TargetKind(p.number()), p.strings(), p.strings()
	var f Frame
	f.encoded[indexJSON], f.encoded[indexMessagePack] = p.bytes(packBinary), p.bytes(packBinary)
	if p.err != nil || kind != planeSend {
		return errPlane
	}
	return to.sendHere(ctx, true, &multicast{frames: []Frame{f}})
}

// Answer executes a request of another node on a connection of this node and returns the answer to send back.
func (s *Server) Answer(ctx context.Context, message []byte) (answer []byte, err error) {
	err = errPlane // the result after a panic
	defer s.containPlane()
	p := planeReader{packScanner{b: message}, nil}
	p.array()
	kind, id, name := p.number(), string(p.bytes(packString)), string(p.bytes(packString))
	if p.err != nil {
		return nil, errPlane
	}
	c := s.registry.byID(id)
	if c == nil {
		return []byte{0x91, planeNobody}, nil
	}
	switch kind {
	case planeInvoke:
		args := p.rawItems()
		if p.err != nil {
			return nil, errPlane
		}
		return planeAnswer(c.Invoke(ctx, name, args...)), nil
	case planeJoin:
		return planeAnswer(Raw{}, c.Join(name)), nil
	case planeLeave:
		return planeAnswer(Raw{}, c.Leave(name)), nil
	default:
		return nil, errPlane
	}
}

// planeAnswer encodes an answer. It includes the client's result without decoding it.
func planeAnswer(raw Raw, err error) []byte {
	var he *HubError
	switch {
	case err == nil:
		b := appendPackString([]byte{0x93, planeResult}, raw.Protocol)
		if raw.Data == nil {
			return appendPackNil(b)
		}
		return appendPackBinary(b, raw.Data)
	case errors.As(err, &he):
		return appendPackString([]byte{0x92, planeClientError}, he.Message)
	case errors.Is(err, ErrClosed):
		return []byte{0x91, planeDisconnected}
	default:
		return appendPackString([]byte{0x92, planeFailed}, err.Error())
	}
}

// Invoke calls a method of the target's client, on any node, and waits for the result. The target must name exactly one
// client.
func (t Target) Invoke(ctx context.Context, method string, args ...any) (Raw, error) {
	if t.Kind != ToClients || len(t.Names) != 1 {
		return Raw{}, errors.New("signalr: only a single client can be asked for a result")
	}
	id := t.Names[0]
	if c := t.server.registry.byID(id); c != nil {
		return c.Invoke(ctx, method, args...)
	}
	encoded := appendPackArray(nil, len(args))
	for _, a := range args {
		var err error
		if encoded, err = appendPack(encoded, a); err != nil {
			return Raw{}, err
		}
	}
	if call, ok := ctx.Value(callKey{}).(*Call); ok {
		call.releaseSlot()
	}
	return t.server.request(ctx, id, append(planeRequest(planeInvoke, id, method), encoded...))
}

// JoinGroup adds a connection of this or another node to a group.
func (s *Server) JoinGroup(ctx context.Context, connectionID, group string) error {
	if c := s.registry.byID(connectionID); c != nil {
		return c.Join(group)
	}
	_, err := s.request(ctx, connectionID, planeRequest(planeJoin, connectionID, group))
	return err
}

// LeaveGroup removes a connection of this or another node from a group.
func (s *Server) LeaveGroup(ctx context.Context, connectionID, group string) error {
	if c := s.registry.byID(connectionID); c != nil {
		return c.Leave(group)
	}
	_, err := s.request(ctx, connectionID, planeRequest(planeLeave, connectionID, group))
	return err
}

func planeRequest(kind byte, id, name string) []byte {
	items := byte(0x93)
	if kind == planeInvoke {
		items = 0x94
	}
	return appendPackString(appendPackString([]byte{items, kind}, id), name)
}

// request sends a request to the node that holds the connection and decodes the answer.
func (s *Server) request(ctx context.Context, id string, message []byte) (Raw, error) {
	if s.opts.Backplane == nil {
		return Raw{}, &noConnectionError{id}
	}
	answer, err := s.opts.Backplane.Request(ctx, id, message)
	switch {
	case errors.Is(err, ErrNoConnection):
		return Raw{}, &noConnectionError{id}
	case err != nil && ctx.Err() != nil:
		return Raw{}, &revokedError{context.Cause(ctx)}
	case err != nil:
		return Raw{}, err
	}
	return readPlaneAnswer(id, answer)
}

func readPlaneAnswer(id string, answer []byte) (raw Raw, err error) {
	p := planeReader{packScanner{b: answer}, nil}
	p.array()
	switch kind := p.number(); kind {
	case planeResult:
		raw = Raw{Protocol: string(p.bytes(packString)), Data: p.bytes(packBinary)}
	case planeClientError, planeFailed:
		text := string(p.bytes(packString))
		if err = errors.New(text); kind == planeClientError {
			err = &HubError{Message: text}
		}
	case planeNobody:
		err = &noConnectionError{id}
	case planeDisconnected:
		err = &disconnectedError{id}
	default:
		err = errPlane
	}
	if p.err != nil {
		return Raw{}, errPlane
	}
	return raw, err
}

var errPlane = errors.New("signalr: backplane message cannot be read")

// planeReader reads the items of a message in order. After the first error, all reads return zero values.
type planeReader struct {
	packScanner
	err error
}

func (p *planeReader) head() packHead {
	if p.err != nil {
		return packHead{}
	}
	var h packHead
	h, p.err = p.packScanner.head()
	return h
}

func (p *planeReader) array() uint64 {
	h := p.head()
	if h.kind != packArray && p.err == nil {
		p.err = errPlane
	}
	return h.n
}

func (p *planeReader) number() uint64 {
	h := p.head()
	if h.kind != packUint && p.err == nil {
		p.err = errPlane
	}
	return h.n
}

// bytes returns the next item, which must be of this kind, or nil if it is nil.
func (p *planeReader) bytes(kind packKind) []byte {
	h := p.head()
	switch {
	case p.err != nil, h.kind == packNil:
		return nil
	case h.kind != kind:
		p.err = errPlane
		return nil
	}
	return p.take(h.n)
}

func (p *planeReader) strings() []string {
	n := p.array()
	if p.err != nil || n == 0 {
		return nil
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, string(p.bytes(packString)))
	}
	return list
}

// rawItems returns the elements of an array in their encoded form.
func (p *planeReader) rawItems() []any {
	var items []any
	for range p.array() {
		from := p.i
		if p.err != nil {
			return nil
		}
		p.err = p.value(0)
		items = append(items, Raw{Protocol: protocolMessagePack, Data: p.b[from:p.i]})
	}
	return items
}
