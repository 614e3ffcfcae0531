package signalrclient

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestDial_HTTPS_VerifiesCertificate also checks that Close returns no error if the node has closed the connection first.
func TestDial_HTTPS_VerifiesCertificate(t *testing.T) {
	t.Parallel()
	for _, leaves := range []string{"phone", "node"} {
		t.Run("the "+leaves+" leaves", func(t *testing.T) {
			t.Parallel()
			dialled, gone := make(chan struct{}), make(chan struct{})
			node := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				conn, rw, err := http.NewResponseController(w).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer close(gone)
				defer conn.Close()
				if r.URL.Path != Path || r.Header.Get("Upgrade") != "websocket" {
					t.Errorf("%s, upgrade to %q", r.URL, r.Header.Get("Upgrade"))
				}
				_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x03{}\x1e")
				_ = rw.Flush()
				if leaves == "phone" {
					_, _ = io.Copy(io.Discard, rw) // until it has gone
				} else {
					<-dialled
					_ = conn.(*tls.Conn).NetConn().(*net.TCPConn).SetLinger(0) // with a reset: the phone's next write fails
				}
			}))
			defer node.Close()
			trust := node.Client().Transport.(*http.Transport).TLSClientConfig
			c, err := Dial(t.Context(), Config{URL: node.URL, Token: "a", TLS: trust})
			if err != nil {
				close(dialled)
				t.Fatal(err)
			}
			close(dialled)
			if leaves == "node" {
				<-gone
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			<-gone
			if _, err := Dial(t.Context(), Config{URL: node.URL, Token: "a", TLS: &tls.Config{}}); err == nil || !strings.Contains(err.Error(), "certificate") {
				t.Errorf("a node that nobody knows: %v", err)
			}
		})
	}
}
