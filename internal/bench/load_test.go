package bench

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// TestLoad_Count_MakesExactlyThatManyCalls sends them with the credentials of several businesses in turn.
func TestLoad_Count_MakesExactlyThatManyCalls(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[string]int{}
	full := false
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // the caller writes it whole
		mu.Lock()
		defer mu.Unlock()
		seen[r.Header.Get("Authorization")]++
		if full {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	}))
	defer server.Close()
	addr := server.Listener.Addr().String()
	l := newLedger()
	ld, err := dialLoad(t.Context(), []string{addr}, messageFormat("a"), 7, 10, minSize, l)
	if err != nil {
		t.Fatal(err)
	}
	defer ld.close()
	for _, c := range ld.callers {
		c.heads = [][]byte{messageFormat("a").head(addr), messageFormat("b").head(addr)}
	}
	if err := ld.count(t.Context(), 100); err != nil || l.accepted.Load() != 100 {
		t.Errorf("count: got %d calls, %v, want 100", l.accepted.Load(), err)
	}
	if seen["Bearer a"] != 50 || seen["Bearer b"] != 50 {
		t.Errorf("calls of each business: got %v, want 50 each", seen)
	}
	mu.Lock()
	full = true
	mu.Unlock()
	if err := ld.count(t.Context(), 10); err == nil || !strings.Contains(err.Error(), "were refused, the last with status 503") {
		t.Errorf("count at a full server: got %v, want an error", err)
	}
}
