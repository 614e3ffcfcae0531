package certfile_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/runtime/certfile"
)

// write writes a new certificate with this serial number, and its key.
func write(t *testing.T, cert, key string, serial int64) {
	t.Helper()
	secret, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, secret.Public(), secret)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: text}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func serial(t *testing.T, c *tls.Config) int64 {
	t.Helper()
	got, err := c.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return got.Leaf.SerialNumber.Int64()
}

// await waits until the certificate with the serial number want is served. Its timeout only bounds a hang.
func await(t *testing.T, c *tls.Config, want int64) {
	t.Helper()
	for began := time.Now(); serial(t, c) != want; time.Sleep(10 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("got serial number %d, want %d", serial(t, c), want)
		}
	}
}

func TestPair_FilesChange_ServesNewCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, cert, key, 1)
	var log strings.Builder
	pair, err := certfile.Open(cert, key, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	c := pair.Config()
	await(t, c, 1)
	write(t, cert, key, 2)
	await(t, c, 2)
	if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); !strings.Contains(log.String(), "cannot be used"); time.Sleep(10 * time.Millisecond) {
		if got := serial(t, c); got != 2 {
			t.Fatalf("got serial number %d with an invalid file, want 2", got)
		}
		if time.Since(began) > time.Minute {
			t.Fatal("an invalid file was not logged")
		}
	}
	write(t, cert, key, 3)
	await(t, c, 3)
}

func TestOpen_BadFiles_Fails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key, other := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "other.pem")
	write(t, cert, key, 1)
	write(t, other, filepath.Join(dir, "otherkey.pem"), 2)
	for name, files := range map[string][2]string{"missing": {filepath.Join(dir, "none"), key}, "another's key": {other, key}, "swapped": {key, cert}} {
		if _, err := certfile.Open(files[0], files[1], slog.New(slog.DiscardHandler)); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want an error in one line", name, err)
		}
	}
}
