//go:build !race

package requestid_test

import (
	"net/http"
	"testing"

	"github.com/esh3artech/esh3ar/internal/requestid"
)

// The race detector makes sync.Pool drop items at random, so this file is not built with it.
func TestSet_NoRequestID_DoesNotAllocate(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts the whole process
	response, request := http.Header{}, http.Header{}
	if n := testing.AllocsPerRun(1000, func() { clear(response); requestid.Set(response, request) }); n != 0 {
		t.Errorf("got %v allocations per id, want less than 1", n)
	}
}

func BenchmarkSet(b *testing.B) {
	response, request := http.Header{}, http.Header{}
	b.ReportAllocs()
	for b.Loop() {
		clear(response)
		requestid.Set(response, request)
	}
}
