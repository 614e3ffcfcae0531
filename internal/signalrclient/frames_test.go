package signalrclient

import (
	"bufio"
	"bytes"
	"net"
	"testing"
	"time"
)

// sink is a connection that discards all writes.
type sink struct{ net.Conn }

func (sink) Write(b []byte) (int, error)   { return len(b), nil }
func (sink) SetDeadline(time.Time) error   { return nil }
func (sink) Close() error                  { return nil }
func reading(b []byte) *Conn               { return &Conn{net: sink{}, read: bufio.NewReader(bytes.NewReader(b))} }
func frame(op byte, length ...byte) []byte { return append([]byte{0x80 | op}, length...) }
func long(op byte, length [8]byte) []byte  { return append(frame(op, 127), length[:]...) }

func TestConn_FrameTooLong_FailsPermanently(t *testing.T) {
	t.Parallel()
	for name, b := range map[string][]byte{
		"2^63":   long(opText, [8]byte{0x80}),
		"2^64-1": long(opText, [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}),
		"2^63-1": long(opText, [8]byte{0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}),
		"2^27":   long(opText, [8]byte{4: 8}),
	} {
		c := reading(append(b, frame(opText, 2, 'h', 'i')...))
		_, first := c.message()
		text, again := c.message()
		if first == nil || again != first || text != nil { //nolint:errorlint // the very same
			t.Errorf("%s: got %v, then %q %v", name, first, text, again)
		}
	}
}

// FuzzMessage reads arbitrary input of a server, and continues after the first error.
func FuzzMessage(f *testing.F) {
	f.Add(frame(opText, 2, 'h', 'i'))
	f.Add(long(opText, [8]byte{0x80}))
	f.Add(append(append([]byte{opText, 1, 'a'}, frame(opPing, 1, 'b')...), frame(0, 1, 'c')...))
	f.Add([]byte("\x81\x30{\"type\":1,\"target\":\"ReceiveMessage\",\"arguments\":[]}\x1e"))
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, full := range []bool{false, true} {
			c := reading(in)
			var last error
			for range len(in) + 2 {
				if len(in) > 1<<16 {
					return
				}
				_, err := c.Next(nil, full)
				if c.err != nil && last != nil && err == nil {
					t.Fatalf("got an event behind %v", last)
				}
				last = c.err
			}
			if last == nil {
				t.Errorf("%x has no end", in)
			}
		}
	})
}
