package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/esh3artech/esh3ar/internal/node"
	"github.com/esh3artech/esh3ar/internal/store/diskguard"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
	"github.com/esh3artech/esh3ar/internal/store/transfer"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// moveDir is the store of a data directory as a source.
type moveDir struct {
	dataDir string
	log     *slog.Logger
	store   *embedded.Store
}

func (e *moveDir) name() string { return filepath.Join(e.dataDir, "store") }

func (e *moveDir) open(context.Context) (movable, error) {
	if !holdsStore(e.name()) {
		return nil, usage.Errorf("--from: there is no store in %s", e.dataDir)
	}
	store, err := embedded.Open(e.name(), embedded.Options{Log: e.log})
	if errors.Is(err, diskguard.ErrInUse) {
		return nil, usage.Errorf("--from: a node has %s open; stop it first", e.dataDir)
	}
	if err != nil {
		return nil, fmt.Errorf("--from: %w", err)
	}
	e.store = store
	return store, nil
}

// alone returns nil: the lock of the open store excludes other processes.
func (e *moveDir) alone(context.Context) error { return nil }

func (e *moveDir) close() error { return closeStore(&e.store) }

// holdsStore reports whether a directory holds an embedded store.
func holdsStore(dir string) bool {
	markers, err := filepath.Glob(filepath.Join(dir, "marker.manifest.*"))
	return err == nil && len(markers) > 0
}

func closeStore(store **embedded.Store) error {
	open := *store
	*store = nil
	if open == nil {
		return nil
	}
	return open.Close()
}

// moveDirTarget is a data directory as a target. The copy is made in a directory of its own, which is renamed at the end.
type moveDirTarget struct {
	dataDir string
	from    string // name of the source
	log     *slog.Logger
	store   *embedded.Store // the copy
}

func (e *moveDirTarget) name() string  { return filepath.Join(e.dataDir, "store") }
func (e *moveDirTarget) fresh() string { return filepath.Join(e.dataDir, "store.moving") }

func (e *moveDirTarget) advice() string {
	return fmt.Sprintf("Start the node with --data-dir %s and without --database-url.", e.dataDir)
}

func (e *moveDirTarget) close() error { return closeStore(&e.store) }

func (e *moveDirTarget) open(ctx context.Context) (movable, error) {
	if err := e.checkPlace(ctx); err != nil {
		return nil, err
	}
	if !holdsStore(e.fresh()) {
		return nil, nil
	}
	if err := e.openFresh(); err != nil {
		return nil, err
	}
	mark, err := node.MarkOf(ctx, e.store)
	if err != nil {
		return nil, err
	}
	if cluster, err := node.ClusterOf(ctx, e.store); err != nil || cluster == "" && mark.State == "" {
		return nil, err // an earlier attempt was interrupted before it wrote anything
	}
	return e.store, nil
}

// checkPlace returns an error if the data directory holds data that the copy would replace.
func (e *moveDirTarget) checkPlace(ctx context.Context) error {
	if left, err := node.LeftIn(e.log)(e.dataDir); err != nil || left {
		return errors.Join(err, usage.Errorf("--to: the spill in %s holds messages that the database has not; bring them there with `%s spill drain` first", e.dataDir, usage.Program()))
	}
	used, err := os.ReadFile(filepath.Join(e.dataDir, node.DatabaseFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--to: %w", err)
	}
	if name := strings.TrimSpace(string(used)); name != "" && name != e.from {
		return usage.Errorf("--to: %s was used with the database %s; give another data directory", e.dataDir, name)
	}
	if !holdsStore(e.name()) {
		return nil
	}
	there, err := embedded.Open(e.name(), embedded.Options{Log: e.log})
	if errors.Is(err, diskguard.ErrInUse) {
		return usage.Errorf("--to: a node has %s open; stop it first", e.dataDir)
	}
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	mark, err := node.MarkOf(ctx, there)
	if err = errors.Join(err, there.Close()); err != nil {
		return err
	}
	if mark.State != node.MarkMoved {
		return usage.Errorf("--to: %s holds a store already; give a data directory without one", e.dataDir)
	}
	return nil
}

func (e *moveDirTarget) openFresh() error {
	var err error
	e.store, err = embedded.Open(e.fresh(), embedded.Options{Log: e.log})
	if err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	return nil
}

func (e *moveDirTarget) clear(context.Context) (movable, error) {
	if err := e.close(); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(e.fresh()); err != nil {
		return nil, fmt.Errorf("--to: %w", err)
	}
	if err := os.MkdirAll(e.fresh(), 0o700); err != nil {
		return nil, fmt.Errorf("--to: %w", err)
	}
	if err := e.openFresh(); err != nil {
		return nil, err
	}
	return e.store, nil
}

func (e *moveDirTarget) fill(_ context.Context, f func(transfer.Writer) error) (movable, error) {
	if err := f(e.store.Fill()); err != nil {
		return nil, err
	}
	if err := e.close(); err != nil {
		return nil, err
	}
	if err := e.openFresh(); err != nil {
		return nil, err
	}
	return e.store, nil
}

func (e *moveDirTarget) finish(ctx context.Context, _ string) error {
	if !holdsStore(e.fresh()) {
		return nil
	}
	if err := e.openFresh(); err != nil {
		return err
	}
	return e.activate(ctx)
}

func (e *moveDirTarget) activate(ctx context.Context) error {
	if err := e.checkPlace(ctx); err != nil {
		return err
	}
	if err := errors.Join(e.store.DropSetting(ctx, node.MarkSetting), e.close()); err != nil {
		return err
	}
	if holdsStore(e.name()) { // an earlier move has already renamed the store
		aside := fmt.Sprintf("%s.moved-%s", e.name(), time.Now().UTC().Format("20060102T150405"))
		if err := os.Rename(e.name(), aside); err != nil {
			return err
		}
	} else if err := os.Remove(e.name()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(e.fresh(), e.name()); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(e.dataDir, node.DatabaseFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(e.dataDir)
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// moveDatabase is a PostgreSQL database, at either end.
type moveDatabase struct {
	url, flag string
	log       *slog.Logger
	store     *postgres.Store
	look      func(context.Context) error
	release   func()
}

func (e *moveDatabase) name() string { return node.DatabaseName(e.url) }

func (e *moveDatabase) advice() string {
	return "Start the nodes with its --database-url."
}

func (e *moveDatabase) close() error {
	if e.release != nil {
		e.release()
	}
	if e.store == nil {
		return nil
	}
	return e.store.Close()
}

func (e *moveDatabase) open(ctx context.Context) (movable, error) {
	if e.store != nil {
		return e.store, nil
	}
	if err := node.CheckDatabaseFlag(e.flag, e.url); err != nil {
		return nil, err
	}
	store, err := node.OpenPostgres(ctx, e.url, postgres.Options{Log: e.log, Copies: true, Flag: e.flag, Existing: e.flag == "--from", CallTimeout: time.Minute})
	if err != nil {
		return nil, err
	}
	e.store = store
	e.look, e.release, err = store.Hold(ctx)
	if errors.Is(err, postgres.ErrNodes) || errors.Is(err, postgres.ErrMoving) {
		return nil, usage.Errorf("%s: %w; stop them first", e.flag, err)
	}
	if err != nil || e.flag == "--from" {
		return store, err
	}
	if empty, err := store.Empty(ctx); err != nil || empty {
		return nil, err
	}
	return store, nil
}

func (e *moveDatabase) alone(ctx context.Context) error { return e.look(ctx) }

func (e *moveDatabase) clear(ctx context.Context) (movable, error) {
	return e.store, e.store.Clear(ctx)
}

func (e *moveDatabase) fill(ctx context.Context, f func(transfer.Writer) error) (movable, error) {
	return e.store, e.store.Fill(ctx, f)
}

func (e *moveDatabase) finish(ctx context.Context, cluster string) error {
	if _, err := e.open(ctx); err != nil {
		if errors.Is(err, postgres.ErrNodes) {
			return nil // they could not have started before
		}
		return err
	}
	mark, err := node.MarkOf(ctx, e.store)
	if err != nil || mark.State != node.MarkComplete || mark.Cluster != cluster {
		return err
	}
	return e.activate(ctx)
}

func (e *moveDatabase) activate(ctx context.Context) error {
	return e.store.DropSetting(ctx, node.MarkSetting)
}
