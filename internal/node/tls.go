package node

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"

	"github.com/esh3artech/esh3ar/internal/runtime/certfile"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// tlsFlags are the certificate of a process and its key.
type tlsFlags struct {
	TLSCert string `name:"tls-cert" placeholder:"FILE" help:"PEM file of the certificate and its chain, reloaded when it changes. Without it the process serves plain HTTP."`
	TLSKey  string `name:"tls-key" placeholder:"FILE" help:"PEM file of the key of the certificate."`
}

func (f *tlsFlags) check() error {
	switch {
	case f.TLSCert != "" && f.TLSKey == "":
		return usage.Errorf("--tls-key: needed with --tls-cert")
	case f.TLSKey != "" && f.TLSCert == "":
		return usage.Errorf("--tls-cert: needed with --tls-key")
	}
	return nil
}

// open reads the certificate; it returns nil if none is configured.
func (f *tlsFlags) open(log *slog.Logger) (*certfile.Pair, error) {
	if f.TLSCert == "" {
		return nil, nil //nolint:nilnil // plain HTTP is no error
	}
	pair, err := certfile.Open(f.TLSCert, f.TLSKey, log)
	if err != nil {
		return nil, usage.Errorf("--tls-cert: %w", err)
	}
	return pair, nil
}

// scheme returns the scheme of the URLs of the process: http or https.
func (f *tlsFlags) scheme() string {
	if f.TLSCert != "" {
		return "https"
	}
	return "http"
}

// secured returns a TLS listener on l, or l itself without a certificate.
func secured(l net.Listener, cert *certfile.Pair) net.Listener {
	if cert == nil {
		return l
	}
	return tls.NewListener(l, cert.Config())
}

// trustCA makes this process trust the authorities in a PEM file instead of the system's. An empty name changes nothing. It must be
// called before the first TLS connection.
func trustCA(file string) error {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return usage.Errorf("--ca-cert: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(text) {
		return usage.Errorf("--ca-cert: %s has no certificate in PEM form", file)
	}
	return os.Setenv("SSL_CERT_FILE", file) // what crypto/x509 reads its roots from
}
