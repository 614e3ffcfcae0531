package gateway_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestRequestID_Forwarded_IsOneForAll checks that the node and the client see the same id, also in the gateway's own answers.
func TestRequestID_Forwarded_IsOneForAll(t *testing.T) {
	t.Parallel()
	seen := make(chan []string, 1)
	n := newNode(t, "n", func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header["X-Request-Id"]
		w.Header()["X-Request-Id"] = r.Header["X-Request-Id"]
	})
	f := newFront(t, nil, n)
	f.awaitUp(1)
	for _, sent := range []string{"", "order-42", "two words", strings.Repeat("a", 129)} {
		var headers []string
		if sent != "" {
			headers = []string{"X-Request-Id", sent}
		}
		got := f.do(http.MethodGet, "/v1/x", "", headers...)
		atNode := <-seen
		if ids := got.header["X-Request-Id"]; len(ids) != 1 || len(atNode) != 1 || ids[0] != atNode[0] || ids[0] == "" || (ids[0] == sent) != (sent == "order-42") {
			t.Errorf("sent %q: got %q at the client and %q at the node, want one id", sent, ids, atNode)
		}
	}
	refused := f.do(http.MethodGet, "/admin/v1/nodes", "", "X-Request-Id", "order-43")
	if refused.status != http.StatusForbidden || refused.header.Get("X-Request-Id") != "order-43" || !strings.Contains(refused.body, `"requestId":"order-43"`) {
		t.Errorf("got %d %q %s, want 403 with the id in header and body", refused.status, refused.header.Get("X-Request-Id"), refused.body)
	}
}
