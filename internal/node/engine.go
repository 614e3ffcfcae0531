package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/crashfs"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// Engine is the store of a node with what only the wiring asks of it.
type Engine struct {
	esh3ar.Store
	io.Closer
	Local  *embedded.Store // nil: the store is shared
	Shared *postgres.Store // nil: the store is this node's own
}

// openEngine opens what the flags name.
func (n *node) openEngine(ctx context.Context, m *metrics) (*Engine, error) {
	if n.config.DatabaseURL != "" {
		return n.openShared(ctx)
	}
	return n.openLocal(ctx, m)
}

func (n *node) openLocal(ctx context.Context, m *metrics) (*Engine, error) {
	dir := filepath.Join(n.config.DataDir, "store")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("--data-dir: %w", err)
	}
	options := embedded.Options{FS: n.files, MaxOpenFiles: n.storeFiles, Log: n.log, OnCommit: func(info embedded.CommitInfo) {
		m.stored(info)
		n.feed.Wake()
	}, Crowded: func() bool { return n.vitals.queue.PerProcessor() > 1 }, Reserve: n.config.DiskReserve}
	if n.config.PowerCuts {
		options.FS = crashfs.New(vfs.Default)
	}
	store, err := embedded.Open(dir, options)
	if err != nil {
		return nil, err
	}
	if err := CheckMark(ctx, store, "--data-dir", dir); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return &Engine{Store: store, Closer: store, Local: store}, nil
}

func (n *node) openShared(ctx context.Context) (*Engine, error) {
	store, err := OpenPostgres(ctx, n.config.DatabaseURL, postgres.Options{
		Log: n.log, OnCommit: n.committed, RequireSyncStandby: n.config.RequireSyncStandby,
	})
	if err != nil {
		return nil, err
	}
	return &Engine{Store: store, Closer: store, Shared: store}, nil
}

// CheckDatabase tells what is wrong with a --database-url, before it is asked.
func CheckDatabase(url string) error { return CheckDatabaseFlag("--database-url", url) }

// CheckDatabaseFlag is CheckDatabase of a URL that another flag holds.
func CheckDatabaseFlag(flag, url string) error {
	if !strings.HasPrefix(url, "postgres://") && !strings.HasPrefix(url, "postgresql://") {
		return usage.Errorf("%s: must begin with postgres://", flag)
	}
	if err := postgres.CheckURL(url); err != nil {
		return usage.Errorf("%s: %w", flag, err)
	}
	return nil
}

// openPatience is how long a start waits for a database that does not answer yet: whoever starts both at once need not care
// for their order.
const openPatience = 30 * time.Second

func OpenPostgres(ctx context.Context, url string, o postgres.Options) (store *postgres.Store, err error) {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	err = patiently(ctx, log, func() (err error) { store, err = postgres.Open(ctx, url, o); return err })
	if errors.Is(err, postgres.ErrUnused) || errors.Is(err, postgres.ErrMoving) || errors.Is(err, postgres.ErrForeign) {
		err = usage.Wrap(err)
	}
	if err != nil || o.Copies {
		return store, err
	}
	if err := patiently(ctx, log, func() error { return CheckMark(ctx, store, "--database-url", DatabaseName(url)) }); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

// patiently tries a step of the start until the database has answered it.
func patiently(ctx context.Context, log *slog.Logger, step func() error) error {
	deadline, cancel := context.WithTimeout(ctx, openPatience)
	defer cancel()
	for try := 0; ; try++ {
		err := step()
		if code := esh3ar.CodeOf(err); err == nil || code != esh3ar.StoreUnavailable && code != esh3ar.OutcomeUnknown {
			return err
		}
		if try == 0 {
			log.Warn("the database does not answer yet", "patience", openPatience, "error", err)
		}
		select {
		case <-deadline.Done():
			return fmt.Errorf("%w; start PostgreSQL, or correct --database-url", err)
		case <-time.After(openPatience / 60):
		}
	}
}

// committed wakes who follows the event log; the first commits come before there is a feed.
func (n *node) committed() {
	if n.feed != nil {
		n.feed.Wake()
	}
}

// failed is closed when the store can never be written to again. A shared store comes back by itself.
func (e *Engine) failed() <-chan struct{} {
	if e.Local == nil {
		return nil
	}
	return e.Local.Failed()
}

func (e *Engine) fault() error {
	if e.Local == nil {
		return nil
	}
	return e.Local.Fault()
}

// opened says what opening the store found.
func (e *Engine) opened() string {
	if e.Shared != nil {
		return "PostgreSQL is open."
	}
	r := e.Local.Recovery()
	return fmt.Sprintf("Store opened in %s: %d WAL files, %.1f MiB replayed, newest status event %d.",
		r.Took.Round(time.Millisecond), r.WALs, float64(r.WALBytes)/(1<<20), r.Events)
}

// firstStart gives the lock under which a database gets its first secrets.
func (e *Engine) firstStart(ctx context.Context) (unlock func() error, err error) {
	if e.Shared == nil {
		return func() error { return nil }, nil
	}
	unlock, err = e.Shared.Lock(ctx, "bootstrap")
	if err != nil {
		return nil, errors.Join(errors.New("bootstrap"), err)
	}
	return unlock, nil
}
