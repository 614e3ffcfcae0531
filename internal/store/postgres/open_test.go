package postgres_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
)

// limitedProxy is a proxy that forwards a limited number of bytes from the server, over all connections, and then closes every
// connection.
type limitedProxy struct {
	net.Listener
	server string
	left   atomic.Int64
}

func (l *limitedProxy) serve() {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		go l.forward(client) // ends with the connections
	}
}

// lead forwards one connection.
func (l *limitedProxy) forward(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", l.server)
	if err != nil {
		return
	}
	defer server.Close()
	go func() { _, _ = io.Copy(server, client) }() // ends when one of the connections is closed
	for buffer := make([]byte, 64); ; {
		n, err := server.Read(buffer)
		if err != nil || l.left.Add(-int64(n)) < 0 {
			return
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// TestOpen_ConnectionCut_CanBeRetried cuts the connection at many points of Open. The error must be StoreUnavailable, so
// that a starting node waits for the database.
func TestOpen_ConnectionCut_CanBeRetried(t *testing.T) {
	url := newDatabase(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	l := &limitedProxy{Listener: listener, server: server.Addr}
	go l.serve()
	for bytes, cuts := int64(1), 0; ; bytes += 1 + bytes/4 {
		l.left.Store(bytes)
		s, err := postgres.Open(t.Context(), strings.Replace(url, server.Addr, listener.Addr().String(), 1), postgres.Options{})
		if err == nil {
			s.Close()
			if cuts < 10 {
				t.Errorf("got %d cuts, want at least 10", cuts)
			}
			return
		}
		cuts++
		if esh3ar.CodeOf(err) != esh3ar.StoreUnavailable {
			t.Fatalf("cut after %d bytes: got %v, want StoreUnavailable", bytes, err)
		}
	}
}

// TestOpen_LoginRejected_IsPermanentError: a wrong database or role is an operator's mistake. The error is one line, and not
// one that a node waits out.
func TestOpen_LoginRejected_IsPermanentError(t *testing.T) {
	t.Parallel()
	there := newDatabase(t)
	for at, said := range map[string]string{
		strings.Replace(there, "/test", "/nobody_made_this_", 1): `database "nobody_made_this_`,
		strings.Replace(there, "postgres@", "nobody@", 1):        `role "nobody" does not exist`,
	} {
		_, err := postgres.Open(t.Context(), at, postgres.Options{})
		if err == nil || esh3ar.CodeOf(err) == esh3ar.StoreUnavailable || !strings.Contains(err.Error(), said) ||
			!strings.HasPrefix(err.Error(), "--database-url: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want a permanent one-line error that names the flag", at, err)
		}
	}
}

// TestOpen_ExistingOnEmptyDatabase_Fails: with Options.Existing, a database without a schema is rejected and left unchanged.
func TestOpen_ExistingOnEmptyDatabase_Fails(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	for range 2 {
		if s, err := postgres.Open(t.Context(), url, postgres.Options{Existing: true}); !errors.Is(err, postgres.ErrUnused) {
			t.Errorf("got %v, %v; want ErrUnused", s, err)
		}
	}
	open(t, url, postgres.Options{})
	open(t, url, postgres.Options{Existing: true})
}

// TestOpen_RoleOwnsNothing_NamesRemedy: since PostgreSQL 15 a role needs a privilege to create tables. The error says what
// to do.
func TestOpen_RoleOwnsNothing_NamesRemedy(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	execute(t, url, "CREATE ROLE owns_nothing LOGIN")
	_, err := postgres.Open(t.Context(), strings.Replace(url, "postgres@", "owns_nothing@", 1), postgres.Options{})
	if err == nil || !strings.HasPrefix(err.Error(), "--database-url: ") || !strings.Contains(err.Error(), "the owner of the database") || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want one line about the owner of the database", err)
	}
}
