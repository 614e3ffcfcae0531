package postgres

import (
	"errors"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/testkit/pgproc"
)

func ownDatabase(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	server, err := pgproc.Start(t.Context(), pgproc.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	return server.URL("postgres")
}

func openHere(t *testing.T, url string, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestTransfer_EveryTable_IsCopiedOrNamedAsLeft: a new table must be decided on.
func TestTransfer_EveryTable_IsCopiedOrNamedAsLeft(t *testing.T) {
	s := openHere(t, ownDatabase(t), Options{})
	known := slices.Clone(transferLeft)
	for _, table := range transferTables {
		known = append(known, table.name)
	}
	rows, err := s.pool.Query(t.Context(), `SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(tables)
	slices.Sort(known)
	if !slices.Equal(tables, known) {
		t.Errorf("tables of a copy %q, want %q", known, tables)
	}
}

func TestHold_NodeOpen_IsRefusedAndTheOtherWayRound(t *testing.T) {
	url := ownDatabase(t)
	node := openHere(t, url, Options{})
	copies := openHere(t, url, Options{Copies: true})
	if _, _, err := copies.Hold(t.Context()); !errors.Is(err, ErrNodes) {
		t.Errorf("hold beside a node: got %v, want %v", err, ErrNodes)
	}
	if err := node.Close(); err != nil {
		t.Fatal(err)
	}
	alone, release, err := holdAfterNode(t, copies)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), url, Options{}); !errors.Is(err, ErrMoving) {
		t.Errorf("a node opens during a copy: got %v, want %v", err, ErrMoving)
	}
	if _, _, err := copies.Hold(t.Context()); !errors.Is(err, ErrMoving) {
		t.Errorf("a second copy: got %v, want %v", err, ErrMoving)
	}
	if err := waitAlone(t, func() error { return alone() }); err != nil {
		t.Errorf("alone: got %v, want nil", err)
	}
	release()
	err = waitAlone(t, func() error {
		s, err := Open(t.Context(), url, Options{})
		if err == nil {
			err = s.Close()
		}
		return err
	})
	if err != nil {
		t.Errorf("a node after the copy: got %v, want nil", err)
	}
}

// waitAlone repeats a step while the server has not seen yet that a connection has ended.
func waitAlone(t *testing.T, step func() error) error {
	t.Helper()
	for {
		err := step()
		if !errors.Is(err, ErrNodes) && !errors.Is(err, ErrMoving) || t.Context().Err() != nil {
			return err
		}
	}
}

func holdAfterNode(t *testing.T, s *Store) (func() error, func(), error) {
	var alone func() error
	var release func()
	t.Helper()
	err := waitAlone(t, func() error {
		look, end, err := s.Hold(t.Context())
		if err == nil {
			alone, release = func() error { return look(t.Context()) }, end
		}
		return err
	})
	return alone, release, err
}

func TestEmpty_AnyRow_IsNot(t *testing.T) {
	s := openHere(t, ownDatabase(t), Options{Copies: true})
	if empty, err := s.Empty(t.Context()); err != nil || !empty {
		t.Errorf("new database: got %v, %v, want empty", empty, err)
	}
	if err := s.CreateBusiness(t.Context(), esh3ar.Business{ID: esh3ar.NewBusinessID()}); err != nil {
		t.Fatal(err)
	}
	if empty, err := s.Empty(t.Context()); err != nil || empty {
		t.Errorf("with a business: got %v, %v, want not empty", empty, err)
	}
	if err := s.Clear(t.Context()); err != nil {
		t.Fatal(err)
	}
	if empty, err := s.Empty(t.Context()); err != nil || !empty {
		t.Errorf("cleared: got %v, %v, want empty", empty, err)
	}
}
