package phone

import (
	"bufio"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestANodeBehindTLS: the phone takes https as the scheme says, and refuses a name that it cannot trust.
func TestANodeBehindTLS(t *testing.T) {
	t.Parallel()
	node := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if r.URL.Path != Path || r.Header.Get("Upgrade") != "websocket" {
			t.Errorf("%s, upgrade to %q", r.URL, r.Header.Get("Upgrade"))
		}
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x03{}\x1e")
		_ = rw.Flush()
		_, _ = bufio.NewReader(conn).ReadByte() // until the phone has gone
	}))
	defer node.Close()
	trust := node.Client().Transport.(*http.Transport).TLSClientConfig
	c, err := Dial(t.Context(), Config{URL: node.URL, Token: "a", TLS: trust})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Dial(t.Context(), Config{URL: node.URL, Token: "a", TLS: &tls.Config{}}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a node that nobody knows: %v", err)
	}
}
