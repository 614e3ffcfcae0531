package signalr

import (
	"testing"
	"unsafe"
)

// An idle connection is a Conn and its link, and little else: what only some connections need belongs into extras.
func TestConn_Idle_IsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 512 { // a size class of the allocator; the next one is 576
		t.Errorf("a Conn takes %d bytes", n)
	}
}
