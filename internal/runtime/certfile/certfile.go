// Package certfile serves a TLS certificate from two PEM files and reloads them when they change, so that a renewed
// certificate is used without a restart. It does not create certificates or verify peers.
//
// Concurrency: a Pair is safe for concurrent use.
package certfile

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// checkInterval is the minimum time between checks of the files. Only handshakes trigger a check.
const checkInterval = time.Second

// Pair is a certificate and its key, with the files that they come from.
type Pair struct {
	cert, key string // paths
	log       *slog.Logger

	mu struct {
		sync.Mutex
		checkedAt time.Time        // last check of the files
		stamp     [2]stamp         // of the certificate's and the key's file when they were last read
		current   *tls.Certificate // last pair that could be read
	}
}

// stamp identifies a version of a file; zero if the file does not exist.
type stamp struct {
	modified time.Time
	size     int64
}

// Open reads the files. It returns an error if a file cannot be read, or if certificate and key do not match.
func Open(cert, key string, log *slog.Logger) (*Pair, error) {
	p := &Pair{cert: cert, key: key, log: log}
	p.mu.stamp = p.stamps()
	current, err := p.read()
	if err != nil {
		return nil, err
	}
	p.mu.current, p.mu.checkedAt = current, time.Now()
	return p, nil
}

// Config returns a server configuration for TLS 1.2 and 1.3 with Go's defaults, and for HTTP/2 and HTTP/1.1.
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
	now := time.Now()
	if now.Sub(p.mu.checkedAt) >= checkInterval {
		p.mu.checkedAt = now
		p.reloadLocked()
	}
	return p.mu.current
}

// reloadLocked reads the files if they have changed. If they are not valid, the old certificate stays in use, and each
// change is logged once.
func (p *Pair) reloadLocked() {
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

func (p *Pair) stamps() [2]stamp {
	var s [2]stamp
	for i, name := range []string{p.cert, p.key} {
		if info, err := os.Stat(name); err == nil { // a missing file has the zero stamp
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
