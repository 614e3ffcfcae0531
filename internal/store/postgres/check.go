package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/esh3artech/esh3ar"
)

// oldest is the oldest version that is known to work.
const oldest = 150000

// ErrUnused means that a database has nothing of ours, and was to have.
var ErrUnused = errors.New("no node has used this database; give the one of the nodes")

// check refuses a server that would lose what it has committed, and a database that is none of ours where it has to be.
func (s *Store) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.CallTimeout)
	defer cancel()
	if err := s.checkServer(ctx); err != nil || !s.opts.Existing {
		return err
	}
	var used bool
	if err := s.pool.QueryRow(ctx, `SELECT to_regclass('schema_versions') IS NOT NULL`).Scan(&used); err != nil {
		return s.unreachable(err)
	}
	if !used {
		return fmt.Errorf("%s: %w", s.opts.Flag, ErrUnused)
	}
	return nil
}

func (s *Store) checkServer(ctx context.Context) error {
	settings := map[string]string{}
	rows, err := s.pool.Query(ctx, `SELECT name, setting FROM pg_settings
		WHERE name IN ('server_version_num', 'fsync', 'full_page_writes', 'synchronous_commit', 'synchronous_standby_names', 'server_encoding')`)
	if err != nil {
		return s.unreachable(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return s.unreachable(err)
		}
		settings[name] = value
	}
	if err := rows.Err(); err != nil {
		return s.unreachable(err)
	}
	if err := safe(settings); err != nil {
		return fmt.Errorf("%s: %w", s.opts.Flag, err)
	}
	if s.opts.RequireSyncStandby {
		return standby(settings)
	}
	return nil
}

// unreachable is why a look at the server failed: it does not answer, which may pass, or it will not have us, which an operator has
// to change.
func (s *Store) unreachable(err error) error {
	if state := sqlState(err); state == invalidCatalogName || strings.HasPrefix(state, authorizationClass) {
		return fmt.Errorf("%s: the server will not have us; correct the URL, or make the database or the role: %w", s.opts.Flag, lined{err})
	}
	return esh3ar.Errorf(esh3ar.StoreUnavailable, "%s: the server does not answer: %w", s.opts.Flag, lined{err})
}

// lined is an error in one line: pgx gives each address that it tried one of its own.
type lined struct{ error }

func (e lined) Error() string { return strings.Join(strings.Fields(e.error.Error()), " ") }
func (e lined) Unwrap() error { return e.error }

// safe names the first setting with which a 202 would be a lie.
func safe(settings map[string]string) error {
	var version int
	if _, err := fmt.Sscan(settings["server_version_num"], &version); err != nil || version < oldest {
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
