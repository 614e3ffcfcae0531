// Package certfile serves a TLS certificate from two PEM files and notices when they change, so that a renewed certificate is used
// without a restart. It makes no certificates and checks no peers.
//
// Concurrency: a Pair is for all goroutines.
package certfile

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// lookEvery is how often the files are looked at, while handshakes ask for the certificate.
const lookEvery = time.Second

// Pair is a certificate with its key.
type Pair struct {
	cert, key string // paths
	log       *slog.Logger

	mu struct {
		sync.Mutex
		looked  time.Time
		stamp   [2]stamp // of the files as they were last read
		current *tls.Certificate
	}
}

// stamp tells versions of a file apart.
type stamp struct {
	modified time.Time
	size     int64
}

// Open reads the files. An error names the flag-worthy cause: a file that cannot be read, or a certificate and a key that do not belong
// together.
func Open(cert, key string, log *slog.Logger) (*Pair, error) {
	p := &Pair{cert: cert, key: key, log: log}
	p.mu.stamp = p.stamps()
	current, err := p.read()
	if err != nil {
		return nil, err
	}
	p.mu.current, p.mu.looked = current, time.Now()
	return p, nil
}

// Config returns a configuration of servers: TLS 1.2 and 1.3 as Go has them, HTTP/2 and HTTP/1.1.
func (p *Pair) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.certificate(), nil },
	}
}

// certificate returns the newest certificate that could be read.
func (p *Pair) certificate() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.mu.looked) >= lookEvery {
		p.mu.looked = now
		p.renewLocked()
	}
	return p.mu.current
}

// renewLocked reads the files if they have changed. What cannot be read leaves the old certificate in use; the log says so once per
// change.
func (p *Pair) renewLocked() {
	now := p.stamps()
	if now == p.mu.stamp {
		return
	}
	p.mu.stamp = now
	renewed, err := p.read()
	if err != nil {
		p.log.Error("the new TLS certificate cannot be used; the old one stays in use", "error", err)
		return
	}
	p.mu.current = renewed
	p.log.Info("the TLS certificate was renewed", "file", p.cert)
}

func (p *Pair) stamps() (s [2]stamp) {
	for i, name := range []string{p.cert, p.key} {
		if info, err := os.Stat(name); err == nil { // a file that is not there is a version too
			s[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return s
}

func (p *Pair) read() (*tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(p.cert, p.key)
	if err != nil {
		return nil, fmt.Errorf("read %s and %s: %w", p.cert, p.key, err)
	}
	return &c, nil
}
