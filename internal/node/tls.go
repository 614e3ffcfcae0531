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
	if f.TLSCert != "" && f.TLSKey == "" {
		return usage.Errorf("--tls-key: needed with --tls-cert")
	}
	if f.TLSKey != "" && f.TLSCert == "" {
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

// CAFlags choose the authorities whose certificates a process accepts when it connects to others.
type CAFlags struct {
	CACert string `name:"ca-cert" placeholder:"FILE" help:"PEM file with the authorities of the certificates of nodes and gateways that this process connects to (default: those of the system)."`
}

// Trust makes this process accept certificates of the authorities in the file only. Without a file it changes nothing. It must be called
// before the first TLS connection.
func (f *CAFlags) Trust() error {
	if f.CACert == "" {
		return nil
	}
	text, err := os.ReadFile(f.CACert)
	if err != nil {
		return usage.Errorf("--ca-cert: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(text) {
		return usage.Errorf("--ca-cert: %s has no certificate in PEM form", f.CACert)
	}
	return os.Setenv("SSL_CERT_FILE", f.CACert) // what crypto/x509 reads its roots from
}
