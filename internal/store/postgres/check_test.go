package postgres

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestUnreachable_SeveralAddresses_IsOneLine checks that the error of an unreachable server is a single line.
func TestUnreachable_SeveralAddresses_IsOneLine(t *testing.T) {
	t.Parallel()
	cause := errors.New("failed to connect:\n\ta:1: refused\n\tb:1: refused")
	err := (&Store{opts: Options{Flag: "--database-url"}}).connectError(cause)
	if want := "--database-url: the server does not answer: failed to connect: a:1: refused b:1: refused"; err.Error() != want || !errors.Is(err, cause) {
		t.Errorf("got %q, want %q", err, want)
	}
}

// TestOpen_NobodyListens_SaysSoOncePerAddress with the error that pgx really gives.
func TestOpen_NobodyListens_SaysSoOncePerAddress(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), "postgres://me:secret@"+address+"/mine", Options{})
	if err == nil {
		_ = s.Close()
		t.Fatal("opened a server that is not there")
	}
	want := "--database-url: the server does not answer: dial tcp " + address + ": connect: connection refused"
	if err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
}

func TestOpen_ForeignDatabase_IsNamedAsSuch(t *testing.T) {
	url := ownDatabase(t)
	s := openHere(t, url, Options{})
	if _, err := s.pool.Exec(t.Context(), `CREATE DATABASE shop`); err != nil {
		t.Fatal(err)
	}
	at := strings.LastIndex(url, "/postgres")
	foreign := url[:at] + "/shop" + url[at+len("/postgres"):]
	other, err := parse(foreign)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.ConnectConfig(t.Context(), other.ConnConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // the server ends with the test
	if _, err := conn.Exec(t.Context(), `CREATE TABLE messages (id int); CREATE TABLE orders (id int)`); err != nil {
		t.Fatal(err)
	}
	_, err = Open(t.Context(), foreign, Options{})
	if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "messages, orders") {
		t.Errorf("got %v, want %v with the names of the tables", err, ErrForeign)
	}
	if _, err := conn.Exec(t.Context(), `SELECT FROM schema_versions`); err == nil {
		t.Error("a table was made in the database of another application")
	}
}
