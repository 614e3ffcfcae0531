package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date, on one node at a time. There are no down migrations. A schema that is newer by more
// than one version may lack what this program calls, so it is rejected.
func migrate(ctx context.Context, config *pgx.ConnConfig) (err error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	config = config.Copy()
	config.RuntimeParams["statement_timeout"] = "0" // creating an index on a large table takes long
	config.RuntimeParams["lock_timeout"] = "0"
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	// Tried every second for up to 300 seconds: a migration by another node may take minutes.
	one, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(one), goose.WithTableName("schema_versions"), goose.WithAllowOutofOrder(false))
	if err != nil {
		return err
	}
	sources := provider.ListSources() // in ascending order
	newest := sources[len(sources)-1].Version
	version, err := provider.GetDBVersion(ctx)
	if err != nil {
		return err
	}
	if version > newest+1 {
		return fmt.Errorf("the schema has version %d, this program knows %d: run a newer esh3ar", version, newest)
	}
	_, err = provider.Up(ctx)
	return err
}
