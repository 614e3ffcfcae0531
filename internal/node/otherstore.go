package node

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/esh3artech/esh3ar/internal/store/diskguard"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// DatabaseFile is the file in the data directory that names the database which the node used last.
const DatabaseFile = "database"

// checkOtherStore refuses to start with another store than the one that this data directory was used with while messages may wait in
// the old one: they would never be delivered.
func (c *Config) checkOtherStore(ctx context.Context) error {
	if c.AbandonOtherStore {
		return nil
	}
	if c.DatabaseURL == "" {
		return c.checkDatabaseLeft()
	}
	return c.checkEmbeddedLeft(ctx)
}

// checkDatabaseLeft refuses the embedded store if the data directory was used with a database.
func (c *Config) checkDatabaseLeft() error {
	name, err := os.ReadFile(filepath.Join(c.DataDir, DatabaseFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	return usage.Errorf("--data-dir: %s was used with the database %s, where messages may wait that the embedded store would not deliver: give its --database-url, "+
		"or move it here with `%[3]s move --from postgres://%[2]s --to %[1]s`, or give another --data-dir, or --abandon-other-store to start with a store of its own",
		c.DataDir, strings.TrimSpace(string(name)), usage.Program())
}

// checkEmbeddedLeft refuses a database if the embedded store holds undelivered messages.
func (c *Config) checkEmbeddedLeft(ctx context.Context) error {
	dir := filepath.Join(c.DataDir, "store")
	if markers, err := filepath.Glob(filepath.Join(dir, "marker.manifest.*")); err != nil || len(markers) == 0 {
		return nil // there is no store
	}
	store, err := embedded.Open(dir, embedded.Options{})
	if errors.Is(err, diskguard.ErrInUse) {
		return err
	}
	if err != nil {
		return usage.Errorf("--database-url: whether messages wait in the embedded store of --data-dir cannot be seen: %w; mend it, or give another --data-dir or --abandon-other-store", err)
	}
	mark, err := MarkOf(ctx, store)
	if err != nil || mark.State == MarkMoved {
		return errors.Join(err, store.Close())
	}
	left, err := store.Backlog(ctx, mostBacklog)
	if err = errors.Join(err, store.Close()); err != nil {
		return fmt.Errorf("look at the embedded store in %s: %w", dir, err)
	}
	if left.Undelivered+left.Scheduled+left.DeadLetters == 0 {
		return nil
	}
	return usage.Errorf("--database-url: the embedded store in %s holds %d undelivered and %d scheduled messages and %d dead letters that this database would not deliver: "+
		"move them with `%s move --from %s --to postgres://…`, or give another --data-dir, or --abandon-other-store to leave them there",
		dir, left.Undelivered, left.Scheduled, left.DeadLetters, usage.Program(), c.DataDir)
}

// noteStore records which store this data directory is used with.
func (c *Config) noteStore() error {
	path := filepath.Join(c.DataDir, DatabaseFile)
	if c.DatabaseURL != "" {
		return os.WriteFile(path, []byte(DatabaseName(c.DatabaseURL)+"\n"), 0o600)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// DatabaseName returns host and path of a database URL, without user and password.
func DatabaseName(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "of --database-url"
	}
	return u.Host + u.Path
}
