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

// nextVersion changes a schema as the next version of the program may do: it adds columns and tables, and increments the
// version.
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

// TestStore_SchemaOneVersionAhead_Works runs the suite on a schema that a node of the next version has migrated. A rolling
// restart migrates with its first node while the others continue.
func TestStore_SchemaOneVersionAhead_Works(t *testing.T) {
	later := copyOf(t, "template1")
	if err := open(t, server.URL(later), postgres.Options{}).Close(); err != nil {
		t.Fatal(err)
	}
	execute(t, server.URL(later), nextVersion)
	storetest.Run(t, storetest.Engine{Open: func(t *testing.T, now func() time.Time) storetest.Instance {
		return instance(t, server.URL(copyOf(t, later)), now)
	}})
}

// TestOpen_SchemaTwoVersionsAhead_Fails: a schema that is newer by two versions is rejected.
func TestOpen_SchemaTwoVersionsAhead_Fails(t *testing.T) {
	url := newDatabase(t)
	open(t, url, postgres.Options{})
	execute(t, url, nextVersion)
	execute(t, url, countOn)
	s, err := postgres.Open(t.Context(), url, postgres.Options{})
	if err == nil {
		_ = s.Close()
		t.Fatal("Open accepted a schema two versions ahead")
	}
	if !strings.Contains(err.Error(), "run a newer esh3ar") {
		t.Errorf("got %v, want it to name the remedy", err)
	}
}
