package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/esh3artech/esh3ar"
)

// oldestVersion is the oldest supported server version, as in server_version_num.
const oldestVersion = 150000

// ErrUnused means that the database contains no schema of this program, but Options.Existing requires one.
var ErrUnused = errors.New("no node has used this database; use the database of the nodes")

// ErrForeign means that the database contains tables of another application.
var ErrForeign = errors.New("the database belongs to another application")

// check rejects servers that could lose committed data, databases of other applications, and, if Options.Existing is set, databases that no
// node has used.
func (s *Store) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.CallTimeout)
	defer cancel()
	if err := s.checkServer(ctx); err != nil {
		return err
	}
	if err := s.checkOwner(ctx); err != nil || !s.opts.Existing {
		return err
	}
	var used bool
	if err := s.pool.QueryRow(ctx, `SELECT to_regclass('schema_versions') IS NOT NULL`).Scan(&used); err != nil {
		return s.connectError(err)
	}
	if !used {
		return fmt.Errorf("%s: %w", s.opts.Flag, ErrUnused)
	}
	return nil
}

// checkOwner refuses a database that another application uses: it has tables, and none of them is ours. A first migration that was
// interrupted leaves schema_versions alone.
func (s *Store) checkOwner(ctx context.Context) error {
	var ours bool
	var others []string
	err := s.pool.QueryRow(ctx, `SELECT to_regclass('events_trimmed') IS NOT NULL, array(
		SELECT c.relname::text FROM pg_class c WHERE c.relkind IN ('r', 'p') AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())
			AND c.relname <> 'schema_versions' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
		ORDER BY c.relname LIMIT 3)`).Scan(&ours, &others)
	if err != nil {
		return s.connectError(err)
	}
	if ours || len(others) == 0 {
		return nil
	}
	return fmt.Errorf("%s: %w (it has the table %s); make a database for esh3ar alone", s.opts.Flag, ErrForeign, strings.Join(others, ", "))
}

func (s *Store) checkServer(ctx context.Context) error {
	settings := map[string]string{}
	rows, err := s.pool.Query(ctx, `SELECT name, setting FROM pg_settings
		WHERE name IN ('server_version_num', 'fsync', 'full_page_writes', 'synchronous_commit', 'synchronous_standby_names', 'server_encoding')`)
	if err != nil {
		return s.connectError(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return s.connectError(err)
		}
		settings[name] = value
	}
	if err := rows.Err(); err != nil {
		return s.connectError(err)
	}
	if err := checkSettings(settings); err != nil {
		return fmt.Errorf("%s: %w", s.opts.Flag, err)
	}
	if s.opts.RequireSyncStandby {
		return standby(settings)
	}
	return nil
}

// connectError returns the error of a failed connection. A server that does not answer may recover; one that rejects the login or lacks
// the database needs an operator.
func (s *Store) connectError(err error) error {
	if state := sqlState(err); state == invalidCatalogName || strings.HasPrefix(state, authorizationClass) {
		return fmt.Errorf("%s: the server rejects the connection; correct the URL, or create the database or the role: %w", s.opts.Flag, oneLineError{err})
	}
	return esh3ar.Errorf(esh3ar.StoreUnavailable, "%s: the server does not answer: %w", s.opts.Flag, oneLineError{err})
}

// oneLineError is an error with a one-line text. pgx repeats the cause for each address and connection method it tried; here each cause
// appears once.
type oneLineError struct{ error }

func (e oneLineError) Error() string {
	causes := connectCauses(e.error, nil)
	if len(causes) == 0 {
		return strings.Join(strings.Fields(e.error.Error()), " ")
	}
	return strings.Join(causes, "; ")
}

// connectCauses appends the distinct texts of the network and server errors in a tree of errors.
func connectCauses(err error, texts []string) []string {
	text := ""
	switch e := err.(type) { //nolint:errorlint // it walks the tree itself
	case nil:
		return texts
	case *net.OpError:
		text = e.Error()
	case *pgconn.PgError:
		text = e.Message + " (SQLSTATE " + e.Code + ")"
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			texts = connectCauses(one, texts)
		}
		return texts
	default:
		return connectCauses(errors.Unwrap(err), texts)
	}
	if !slices.Contains(texts, text) {
		texts = append(texts, text)
	}
	return texts
}

func (e oneLineError) Unwrap() error { return e.error }

// checkSettings returns an error for the first setting with which a 202 would not be durable.
func checkSettings(settings map[string]string) error {
	var version int
	if _, err := fmt.Sscan(settings["server_version_num"], &version); err != nil || version < oldestVersion {
		return fmt.Errorf("PostgreSQL 15 or newer is needed, the server is %s", settings["server_version_num"])
	}
	for _, name := range []string{"fsync", "full_page_writes", "synchronous_commit"} {
		if settings[name] == "off" {
			return fmt.Errorf("the server has %s = off and can lose what it has committed; set it to on", name)
		}
	}
	if settings["server_encoding"] != "UTF8" {
		return fmt.Errorf("the database has encoding %s; make one with UTF8", settings["server_encoding"])
	}
	return nil
}

// standby refuses a server whose commits wait for no standby.
func standby(settings map[string]string) error {
	if settings["synchronous_standby_names"] == "" || settings["synchronous_commit"] == "local" {
		return fmt.Errorf("--require-sync-standby: commits of the server wait for no standby (synchronous_standby_names = %q, synchronous_commit = %s)",
			settings["synchronous_standby_names"], settings["synchronous_commit"])
	}
	return nil
}
