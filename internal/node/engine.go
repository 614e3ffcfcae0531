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

// Engine is the store of a node. Exactly one of Local and Shared is set.
type Engine struct {
	esh3ar.Store
	io.Closer
	Local  *embedded.Store // nil: the store is shared
	Shared *postgres.Store // nil: the store is this node's own
}

// openEngine opens the store that the flags name.
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
	}, CPUContended: func() bool { return n.load.queue.PerProcessor() > 1 }, Reserve: n.config.DiskReserve}
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

// CheckDatabase returns a usage error if --database-url cannot be a PostgreSQL URL. It does not connect.
func CheckDatabase(url string) error { return CheckDatabaseFlag("--database-url", url) }

// CheckDatabaseFlag is CheckDatabase for the value of another flag.
func CheckDatabaseFlag(flag, url string) error {
	if !strings.HasPrefix(url, "postgres://") && !strings.HasPrefix(url, "postgresql://") {
		return usage.Errorf("%s: must begin with postgres://", flag)
	}
	if err := postgres.CheckURL(url); err != nil {
		return usage.Errorf("%s: %w", flag, err)
	}
	return nil
}

// openTimeout is how long a start waits for a database that does not answer yet, so that both can be started in any order.
const openTimeout = 30 * time.Second

func OpenPostgres(ctx context.Context, url string, o postgres.Options) (*postgres.Store, error) {
	var store *postgres.Store
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	err := retryUntilAnswered(ctx, log, func() (err error) { store, err = postgres.Open(ctx, url, o); return err })
	if errors.Is(err, postgres.ErrUnused) || errors.Is(err, postgres.ErrMoving) || errors.Is(err, postgres.ErrForeign) {
		err = usage.Wrap(err)
	}
	if err != nil || o.Copies {
		return store, err
	}
	if err := retryUntilAnswered(ctx, log, func() error { return CheckMark(ctx, store, "--database-url", DatabaseName(url)) }); err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return store, nil
}

// retryUntilAnswered retries a step of the start until the database answers, at most openTimeout.
func retryUntilAnswered(ctx context.Context, log *slog.Logger, step func() error) error {
	deadline, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	for try := 0; ; try++ {
		err := step()
		if code := esh3ar.CodeOf(err); err == nil || code != esh3ar.StoreUnavailable && code != esh3ar.OutcomeUnknown {
			return err
		}
		if try == 0 {
			log.Warn("the database does not answer yet", "patience", openTimeout, "error", err)
		}
		select {
		case <-deadline.Done():
			return fmt.Errorf("%w; start PostgreSQL, or correct --database-url", err)
		case <-time.After(openTimeout / 60):
		}
	}
}

// committed wakes the readers of the event log. The first commits happen before the feed exists.
func (n *node) committed() {
	if n.feed != nil {
		n.feed.Wake()
	}
}

// failed returns a channel that is closed when the store can never be written to again. It is nil for a shared store, which recovers.
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

// opened returns one line about the recovery of the store.
func (e *Engine) opened() string {
	if e.Shared != nil {
		return "PostgreSQL is open."
	}
	r := e.Local.Recovery()
	return fmt.Sprintf("Store opened in %s: %d WAL files, %.1f MiB replayed, newest status event %d.",
		r.Took.Round(time.Millisecond), r.WALs, float64(r.WALBytes)/(1<<20), r.Events)
}

// firstStart takes the lock under which a shared database gets its first secrets; unlock releases it.
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
