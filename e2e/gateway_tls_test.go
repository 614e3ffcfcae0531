package e2e

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// newSecured ends TLS before whatever listens at an address, with a certificate of an authority of its own; that is in the
// file.
func newSecured(t *testing.T, listen string) (server *httptest.Server, authority string) {
	t.Helper()
	server = httptest.NewTLSServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: listen}) }, FlushInterval: -1,
	})
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	authority = filepath.Join(t.TempDir(), "authority.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(authority, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return server, authority
}

// TestGateway_NodesWithTLS_AreVerified checks that a gateway verifies https nodes with the authorities of the machine. It sends no calls
// to a node whose certificate it cannot verify, and reports the reason. After SSL_CERT_FILE adds the authority, calls
// and phones reach it.
func TestGateway_NodesWithTLS_AreVerified(t *testing.T) {
	listen, err := nodeproc.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	secured, authority := newSecured(t, listen)
	p := startAt(t, listen, "--advertise-url", secured.URL)
	stranger := startGatewayUnready(t, p.secrets, "--nodes", secured.URL)
	eventually(t, func() bool {
		return strings.Contains(stranger.node.Stderr.String(), "certificate signed by unknown authority")
	},
		func() string { return "it does not say why the node gets no calls:\n" + stranger.node.Stderr.String() })
	const body = `{"recipientPhoneNumber":"` + alice + `","messageContent":"x"}`
	if status, text := stranger.try(http.MethodPost, "/v1/messages", body); status != http.StatusServiceUnavailable {
		t.Errorf("a node that nobody vouches for has a call: %d %s", status, text)
	}
	t.Setenv("SSL_CERT_FILE", authority) // of the gateway
	t.Setenv("NODE_EXTRA_CA_CERTS", authority)
	gateway := startGateway(t, p.secrets, "--nodes", secured.URL, "--proxy-websockets")
	gateway.awaitNodes(1)
	ph := newPhone(gateway, alice, "a", "each")
	skips := newDriver(gateway, "phone.mjs")
	skips.do(map[string]any{
		"command": "connect", "url": gateway.node.URL + "/online-mobile-user", "token": gateway.token(bob, "a"), "ack": "each", "skipNegotiation": true,
	})
	for to, here := range map[string]*phone{alice: ph, bob: skips} {
		m := gateway.send(to, "hello", "normal")
		here.await(1)
		gateway.awaitStatus(m.ID, "delivered")
	}
}
