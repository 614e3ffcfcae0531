package signalr

import "bytes"

// Frame is an invocation of a client's method, encoded once to be written to many connections. It is immutable and may
// be used by several goroutines.
type Frame struct {
	encoded [protocolCount][]byte
	key     string // see Keyed
}

// NewFrame encodes an invocation of the client's method target. Arguments that are a json.RawMessage are copied as they
// are, a [JSONAppender] writes itself, everything else goes through encoding/json without HTML escaping.
func NewFrame(target string, args ...any) (Frame, error) {
	b, err := jsonProtocol{}.appendInvocation(nil, target, args)
	if err != nil {
		return Frame{}, err
	}
	return JSONFrame(b), nil
}

// JSONFrame makes a frame of what [AppendInvocation] appended, without copying. The bytes must not change until all
// writes of the frame have returned.
func JSONFrame(invocations []byte) Frame {
	var f Frame
	f.encoded[indexJSON] = invocations
	return f
}

// Len returns the frame's bytes in the JSON protocol.
func (f Frame) Len() int { return len(f.encoded[indexJSON]) }

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

func (f *Frame) messages(p protocol) int64 {
	b := f.encoded[p.index()]
	if p.index() == indexJSON && len(b) > 0 {
		return int64(bytes.Count(b, []byte{recordSeparator}))
	}
	return 1
}
