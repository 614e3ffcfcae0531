package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// certificate is a pair of PEM files, which is its own authority.
type certificate struct{ cert, key string }

func newCertificate(t *testing.T) certificate {
	t.Helper()
	dir := t.TempDir()
	c := certificate{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
	c.renew(t, 1)
	return c
}

// renew writes another certificate with that serial number.
func (c certificate) renew(t *testing.T, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "node"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(os.WriteFile(c.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(c.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
}

// client trusts the certificate as it is now.
func (c certificate) client(t *testing.T) *http.Client {
	t.Helper()
	text, err := os.ReadFile(c.cert)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// TestTLS_MicrosoftsClient_AllTransports: phones connect over wss and https to a node and through a gateway that both speak TLS
// themselves, and get their messages; REST is served over HTTP/2.
func TestTLS_MicrosoftsClient_AllTransports(t *testing.T) {
	c := newCertificate(t)
	t.Setenv("NODE_EXTRA_CA_CERTS", c.cert)
	client := c.client(t)
	listen, err := nodeproc.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	flags := []string{"--tls-cert", c.cert, "--tls-key", c.key}
	p := &platform{t: t, dataDir: t.TempDir(), listen: listen}
	p.node = awaitProcess(t, nodeproc.Config{Binary: binary, DataDir: p.dataDir, Listen: listen, Flags: flags, Client: client})
	t.Cleanup(func() { _ = p.node.Kill() }) // at the latest
	if p.secrets, err = nodeproc.ReadSecrets(p.dataDir); err != nil {
		t.Fatal(err)
	}
	gateway := *p
	gateway.node = awaitProcess(t, nodeproc.Config{
		Binary: binary, Command: "gateway", Flags: append([]string{"--nodes", p.node.URL, "--ca-cert", c.cert}, flags...), Client: client,
	})
	t.Cleanup(func() { _ = gateway.node.Kill() }) // as above
	defer func(before *http.Client) { http.DefaultClient = before }(http.DefaultClient)
	http.DefaultClient = client // of the helpers; this test is not parallel
	for _, entry := range []*platform{p, &gateway} {
		for _, transport := range []string{"WebSockets", "ServerSentEvents", "LongPolling"} {
			ph := newDriver(entry, "phone.mjs")
			ph.do(map[string]any{
				"command": "connect", "url": entry.node.URL + "/online-mobile-user", "token": p.token(alice, transport), "ack": "each", "transport": transport,
			})
			sent := entry.send(alice, transport, "normal")
			ph.await(1)
			p.awaitStatus(sent.ID, "delivered")
			ph.do(map[string]any{"command": "stop"})
		}
	}
	resp, err := client.Get(p.node.URL + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if resp.ProtoMajor != 2 {
		t.Errorf("REST speaks %s, want HTTP/2", resp.Proto)
	}
}

// TestTLS_Commands_TrustTheirAuthority: client commands call a node whose certificate no authority of the machine has signed. With its
// authority they work; without it they say what to do.
func TestTLS_Commands_TrustTheirAuthority(t *testing.T) {
	t.Parallel()
	c := newCertificate(t)
	listen, err := nodeproc.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	node := awaitProcess(t, nodeproc.Config{
		Binary: binary, DataDir: data, Listen: listen, Flags: []string{"--tls-cert", c.cert, "--tls-key", c.key}, Client: c.client(t),
	})
	t.Cleanup(func() { _ = node.Kill() })
	for _, args := range [][]string{
		{"send", "--to", alice, "--text", "over TLS"},
		{"listen", "--phone", alice, "--count", "1"},
		{"dlq", "list"},
		{"keys", "list"},
		{"spill", "list"},
		{"verify"},
		{"drain", "--undrain"},
	} {
		args = append(args, "--url", node.URL, "--data-dir", data)
		out, err := exec.Command(binary, args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "--ca-cert") {
			t.Errorf("%q without the authority: got %v and %q, want an error that names --ca-cert", args, err, out)
		}
		args = append(args, "--ca-cert", c.cert)
		if out, err := exec.Command(binary, args...).CombinedOutput(); err != nil && !strings.Contains(string(out), "no spill") {
			t.Errorf("%q: got %v and %q, want success", args, err, out)
		}
	}
}

// TestTLS_CertificateChanges_IsServed: without a restart; files that do not belong together leave the old one in use.
func TestTLS_CertificateChanges_IsServed(t *testing.T) {
	t.Parallel()
	c := newCertificate(t)
	listen, err := nodeproc.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	node := awaitProcess(t, nodeproc.Config{
		Binary: binary, DataDir: t.TempDir(), Listen: listen, Flags: []string{"--tls-cert", c.cert, "--tls-key", c.key}, Client: c.client(t),
	})
	t.Cleanup(func() { _ = node.Kill() }) // at the latest
	serial := func() int64 {
		conn, err := tls.Dial("tcp", listen, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it only looks which one is served
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Fatalf("serial number %d, want 1", got)
	}
	c.renew(t, 2)
	eventually(t, func() bool { return serial() == 2 }, func() string { return "the new certificate is not served:\n" + node.Stderr.String() })
	if err := os.WriteFile(c.key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return serial() == 2 && strings.Contains(node.Stderr.String(), "cannot be used") }, func() string { return "a broken file is not told of:\n" + node.Stderr.String() })
	c.renew(t, 3)
	eventually(t, func() bool { return serial() == 3 }, func() string { return "a mended file is not served:\n" + node.Stderr.String() })
}
