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

// tight lets so many bytes of the server through, over all connections, and breaks every one of them then.
type tight struct {
	net.Listener
	server string
	left   atomic.Int64
}

func (l *tight) serve() {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		go l.lead(client) // ends with the connections
	}
}

func (l *tight) lead(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", l.server)
	if err != nil {
		return
	}
	defer server.Close()
	go func() { _, _ = io.Copy(server, client) }() // until one of them is closed
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

// TestAnOpenThatIsCutOffCanBeTriedAgain wherever it is cut: a node that starts while the database comes and goes waits for it.
func TestAnOpenThatIsCutOffCanBeTriedAgain(t *testing.T) {
	url := newDatabase(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	l := &tight{Listener: listener, server: server.Addr}
	go l.serve()
	for bytes, cuts := int64(1), 0; ; bytes += 1 + bytes/4 {
		l.left.Store(bytes)
		s, err := postgres.Open(t.Context(), strings.Replace(url, server.Addr, listener.Addr().String(), 1), postgres.Options{})
		if err == nil {
			s.Close()
			if cuts < 10 {
				t.Errorf("only %d cuts", cuts)
			}
			return
		}
		if cuts++; esh3ar.CodeOf(err) != esh3ar.StoreUnavailable {
			t.Fatalf("cut after %d bytes: %v", bytes, err)
		}
	}
}

// TestAServerThatWillNotHaveUs is an operator's mistake, in one line; to wait for it to pass would only hide it.
func TestAServerThatWillNotHaveUs(t *testing.T) {
	t.Parallel()
	there := newDatabase(t)
	for at, said := range map[string]string{
		strings.Replace(there, "/test", "/nobody_made_this_", 1): `database "nobody_made_this_`,
		strings.Replace(there, "postgres@", "nobody@", 1):        `role "nobody" does not exist`,
	} {
		_, err := postgres.Open(t.Context(), at, postgres.Options{})
		if err == nil || esh3ar.CodeOf(err) == esh3ar.StoreUnavailable || !strings.Contains(err.Error(), said) ||
			!strings.HasPrefix(err.Error(), "--database-url: ") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", at, err)
		}
	}
}

// TestADatabaseThatNobodyHasUsed is refused where it has to be one of ours, and left as it was.
func TestADatabaseThatNobodyHasUsed(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	for range 2 {
		if s, err := postgres.Open(t.Context(), url, postgres.Options{Existing: true}); !errors.Is(err, postgres.ErrUnused) {
			t.Errorf("%v, %v", s, err)
		}
	}
	open(t, url, postgres.Options{})
	open(t, url, postgres.Options{Existing: true})
}

// TestARoleThatOwnsNothing cannot make tables since PostgreSQL 15: who reads the line has to know what to do.
func TestARoleThatOwnsNothing(t *testing.T) {
	t.Parallel()
	url := newDatabase(t)
	execute(t, url, "CREATE ROLE owns_nothing LOGIN")
	_, err := postgres.Open(t.Context(), strings.Replace(url, "postgres@", "owns_nothing@", 1), postgres.Options{})
	if err == nil || !strings.HasPrefix(err.Error(), "--database-url: ") || !strings.Contains(err.Error(), "the owner of the database") || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
}
