package signalr

import "sync"

// buffer is a pooled byte slice: a connection holds one only while bytes wait.
type buffer struct{ b []byte }

const (
	bufferSize = 2 << 10
	// bufferKeep is the largest buffer worth keeping: one burst must not stay in the pool for ever.
	bufferKeep = 64 << 10
)

var buffers = sync.Pool{New: func() any { return &buffer{b: make([]byte, 0, bufferSize)} }}

func newBuffer() *buffer { return buffers.Get().(*buffer) } //nolint:forcetypeassert // the pool holds nothing else

func (b *buffer) free() {
	if cap(b.b) > bufferKeep {
		return
	}
	b.b = b.b[:0]
	buffers.Put(b)
}
