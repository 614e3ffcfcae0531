package postgres_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar/internal/store/postgres"
	"github.com/esh3artech/esh3ar/internal/store/storetest"
	"github.com/esh3artech/esh3ar/internal/testkit/pgproc"
)

// server is the PostgreSQL of this package's tests. Each test has its own database.
var server *pgproc.Server

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

// run starts the server and runs the tests, or runs a child process if its variable is set.
func run(m *testing.M) int {
	if url := os.Getenv(appenderURL); url != "" {
		appendForEver(url)
	}
	if url := os.Getenv(holderURL); url != "" {
		return holdForLong(url)
	}
	if short() {
		return m.Run()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	// Autovacuum runs transactions, before which event readers stop. The suite needs to read its events at once.
	if server, err = pgproc.Start(ctx, pgproc.Config{Settings: map[string]string{"autovacuum": "off"}}); err != nil {
		fmt.Fprintln(os.Stderr, "these tests need a PostgreSQL:", err)
		return 1
	}
	defer server.Stop()
	return m.Run()
}

// short reports whether -short is set. TestMain runs before the flags are parsed.
func short() bool {
	for _, arg := range os.Args[1:] {
		if arg == "-test.short" || arg == "-test.short=true" {
			return true
		}
	}
	return false
}

var databases atomic.Int64

// newDatabase returns the URL of a new, empty database.
func newDatabase(t testing.TB) (url string) {
	t.Helper()
	return server.URL(copyOf(t, "template1"))
}

// copyOf creates a copy of a database, which must have no connections.
func copyOf(t testing.TB, template string) (name string) {
	t.Helper()
	if server == nil {
		t.Skip("needs PostgreSQL")
	}
	conn, err := pgx.Connect(t.Context(), server.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	name = fmt.Sprintf("test%d", databases.Add(1))
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name+" TEMPLATE "+template+" STRATEGY file_copy"); err != nil {
		t.Fatal(err)
	}
	return name
}

// open opens a store and closes it at the end of the test. The default time limit of a call is long enough for a busy
// machine.
func open(t *testing.T, url string, o postgres.Options) *postgres.Store {
	t.Helper()
	o.CallTimeout = cmp.Or(o.CallTimeout, time.Minute)
	s, err := postgres.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestStore runs the suite for store engines.
func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Engine{Open: func(t *testing.T, now func() time.Time) storetest.Instance {
		return instance(t, newDatabase(t), now)
	}})
}

func instance(t *testing.T, url string, now func() time.Time) storetest.Instance {
	s := open(t, url, postgres.Options{Now: now, MaxConns: 8})
	return storetest.Instance{Store: s, Reopen: func(t *testing.T) storetest.Instance {
		_ = s.Close()
		return instance(t, url, now)
	}}
}
