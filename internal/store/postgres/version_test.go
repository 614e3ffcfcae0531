package postgres_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar/internal/store/postgres"
	"github.com/esh3artech/esh3ar/internal/store/storetest"
)

// nextVersion does to a schema what the next version of the program may do: it adds, and counts on.
const nextVersion = `
	ALTER TABLE messages ADD COLUMN later text NOT NULL DEFAULT 'x';
	ALTER TABLE inbox ADD COLUMN later text;
	CREATE TABLE things_of_later (id bigint PRIMARY KEY);` + countOn

const countOn = `INSERT INTO schema_versions (version_id, is_applied) SELECT max(version_id) + 1, true FROM schema_versions`

func execute(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// TestVersionsOneApart: everything works, and starts, on a schema that a node of the next version has brought up to date. So a
// rolling restart migrates with its first node while the others go on.
func TestVersionsOneApart(t *testing.T) {
	later := copyOf(t, "template1")
	if err := open(t, server.URL(later), postgres.Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	execute(t, server.URL(later), nextVersion)
	storetest.Run(t, storetest.Engine{Open: func(t *testing.T, now func() time.Time) storetest.Instance {
		return instance(t, server.URL(copyOf(t, later)), now)
	}})
}

func TestVersionsTwoApartAreRefused(t *testing.T) {
	url := newDatabase(t)
	open(t, url, postgres.Options{})
	execute(t, url, nextVersion)
	execute(t, url, countOn)
	s, err := postgres.Open(t.Context(), url, postgres.Options{})
	if err == nil {
		_ = s.Close()
		t.Fatal("a schema two versions ahead was opened")
	}
	if !strings.Contains(err.Error(), "run a newer esh3ar") {
		t.Errorf("%v does not say what to do", err)
	}
}
