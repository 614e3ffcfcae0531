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

// tlsFlags name the certificate of a process.
type tlsFlags struct {
	TLSCert string `name:"tls-cert" placeholder:"FILE" help:"Certificate with its chain (PEM); read again when it changes. Without it plain HTTP."`
	TLSKey  string `name:"tls-key" placeholder:"FILE" help:"Key of the certificate (PEM)."`
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

// open reads the certificate; nil: there is none.
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

// scheme is that of URLs of the process.
func (f *tlsFlags) scheme() string {
	if f.TLSCert != "" {
		return "https"
	}
	return "http"
}

// secured has a listener speak TLS, where there is a certificate.
func secured(l net.Listener, cert *certfile.Pair) net.Listener {
	if cert == nil {
		return l
	}
	return tls.NewListener(l, cert.Config())
}

// trustCA has this process trust the certificates of a file instead of the system's; empty: the system's. It must come before the first
// TLS connection.
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
