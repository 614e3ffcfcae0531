package signalr

import (
	"bytes"
	"encoding/binary"
)

// Frame is an invocation of a client's method, encoded once for each protocol to be written to many connections. It is
// immutable and may be used by several goroutines.
type Frame struct {
	encoded [protocolCount][]byte
	key     string // see Keyed
}

// NewFrame encodes an invocation of the client's method target for both protocols. An argument of type json.RawMessage or
// [Raw] is copied, or converted to the other protocol. A [JSONAppender] or [MessagePackAppender] encodes itself. All other
// arguments are encoded by the rules of encoding/json, without HTML escaping.
func NewFrame(target string, args ...any) (f Frame, err error) {
	for i, p := range protocols {
		if f.encoded[i], err = p.appendInvocation(nil, target, args); err != nil {
			return Frame{}, err
		}
	}
	return f, nil
}

// JSONFrame makes a frame for connections of the JSON protocol of what [AppendInvocation] appended, without copying. The
// bytes must not change until all writes of the frame have returned.
func JSONFrame(invocations []byte) Frame {
	var f Frame
	f.encoded[indexJSON] = invocations
	return f
}

// MessagePackFrame is JSONFrame for what [AppendMessagePackInvocation] appended.
func MessagePackFrame(invocations []byte) Frame {
	var f Frame
	f.encoded[indexMessagePack] = invocations
	return f
}

// Or returns a frame that has what either has. So one frame is made of the two above.
func (f Frame) Or(other Frame) Frame {
	for i := range f.encoded {
		if len(f.encoded[i]) == 0 {
			f.encoded[i] = other.encoded[i]
		}
	}
	return f
}

// Len returns the frame's bytes in a protocol, 0 if there are none for it.
func (f Frame) Len(protocol string) int {
	if p := protocolByName(protocol); p != nil {
		return len(f.encoded[p.index()])
	}
	return 0
}

// sizeFor returns the bytes of the frames in protocol p.
func sizeFor(frames []Frame, p protocol) (n int, err error) {
	for i := range frames {
		b := frames[i].encoded[p.index()]
		if len(b) == 0 {
			return 0, errNoEncoding
		}
		n += len(b)
	}
	return n, nil
}

// messages counts what is in the frame.
func (f *Frame) messages(p protocol) int64 {
	b := f.encoded[p.index()]
	if p.index() == indexJSON {
		return int64(bytes.Count(b, []byte{recordSeparator}))
	}
	var messages int64
	for len(b) > 0 {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			break // not made by us
		}
		b = b[n+int(size):]
		messages++
	}
	return messages
}
