package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/esh3artech/esh3ar"
)

var _ esh3ar.Store = (*Store)(nil)

// Store is a store engine on a PostgreSQL database.
type Store struct {
	pool  *pgxpool.Pool
	opts  Options
	cache *rowCache
	stats stats
}

// Open connects to the database, checks that the server's commits are durable, and migrates the schema. Several nodes may do
// so at the same time.
func Open(ctx context.Context, url string, o Options) (*Store, error) {
	o = o.withDefaults()
	config, err := parse(url)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Flag, err)
	}
	config.MaxConns = o.MaxConns
	for name, value := range sessionSettings(&o) {
		config.ConnConfig.RuntimeParams[name] = value
	}
	config.ConnConfig.ConnectTimeout = o.CallTimeout
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Flag, withoutPassword(err))
	}
	s := &Store{pool: pool, opts: o, cache: newRowCache()}
	if err := s.check(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	if err := migrate(ctx, config.ConnConfig); err != nil {
		pool.Close()
		return nil, openError(o.Flag+": bring the schema up to date", err)
	}
	if o.Copies {
		return s, nil
	}
	if err := s.free(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

// CheckURL returns an error if the URL is invalid. It does not connect.
func CheckURL(url string) error {
	_, err := parse(url)
	return err
}

func parse(url string) (*pgxpool.Config, error) {
	config, err := pgxpool.ParseConfig(url)
	return config, withoutPassword(err)
}

// nodeName is the application name of a node's connections.
const nodeName = "esh3ar"

// sessionSettings bound what a statement of ours may cost others.
func sessionSettings(o *Options) map[string]string {
	ms := func(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
	name := nodeName
	if o.Copies {
		name = "esh3ar move"
	}
	return map[string]string{
		"application_name":                    name,
		"statement_timeout":                   ms(o.CallTimeout),
		"lock_timeout":                        ms(o.CallTimeout / 2),
		"idle_in_transaction_session_timeout": ms(o.CallTimeout),
		"client_connection_check_interval":    "1000", // milliseconds; ends the statements of a client that is gone
		"jit":                                 "off",  // compiling costs more than any of the statements
	}
}

// withoutPassword removes the URL, which may contain a password, from a parse error.
func withoutPassword(err error) error {
	if parse, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		return fmt.Errorf("not a PostgreSQL URL: %w", errors.Unwrap(parse))
	}
	return err
}

// Close waits for running statements and closes all connections.
func (s *Store) Close() error {
	s.pool.Close()
	return nil
}

// now returns the time for timestamps.
func (s *Store) now() esh3ar.Time {
	if s.opts.Now != nil {
		return esh3ar.TimeOf(s.opts.Now())
	}
	return esh3ar.TimeOf(time.Now())
}
