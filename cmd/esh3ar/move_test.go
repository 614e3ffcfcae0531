package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/node"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
	"github.com/esh3artech/esh3ar/internal/store/postgres"
	"github.com/esh3artech/esh3ar/internal/testkit/pgproc"
)

// stoppedNode makes a data directory as a node leaves it, with one message that waits.
func stoppedNode(t *testing.T) (dataDir string) {
	t.Helper()
	dataDir = t.TempDir()
	dir := filepath.Join(dataDir, "store")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	store, err := embedded.Open(dir, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	bootstrap := auth.Bootstrap{Store: store, Dir: dataDir, Now: time.Now}
	first, err := bootstrap.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m := &esh3ar.Message{ID: esh3ar.NewMessageID(), Business: first.Secrets.BusinessID, Recipient: 967770000001, Content: "waits"}
	if _, err := store.Append(t.Context(), []*esh3ar.Call{{Business: m.Business, Messages: []*esh3ar.Message{m}}}); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return dataDir
}

func postgresServer(t *testing.T) *pgproc.Server {
	t.Helper()
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	server, err := pgproc.Start(t.Context(), pgproc.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Stop() })
	return server
}

var errStop = errors.New("stopped")

// stopping is a target whose activation never ends.
type stopping struct{ moveTarget }

func (stopping) activate(context.Context) error { return errStop }

func newMove(t *testing.T, from, to string) *move {
	t.Helper()
	s := node.Streams{Out: &strings.Builder{}, Err: io.Discard}
	source, target, err := (&moveCmd{From: from, To: to}).ends(s)
	if err != nil {
		t.Fatal(err)
	}
	return &move{from: source, to: target, s: s, now: esh3ar.TimeOf(time.Now())}
}

func (m *move) end(t *testing.T) {
	t.Helper()
	if err := errors.Join(m.to.close(), m.from.close()); err != nil {
		t.Fatal(err)
	}
}

// undelivered opens the store of a data directory as a node does.
func undelivered(t *testing.T, dataDir string) (int, error) {
	t.Helper()
	store, err := embedded.Open(filepath.Join(dataDir, "store"), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	backlog, err := store.Backlog(t.Context(), 100)
	return backlog.Undelivered, errors.Join(err, node.CheckMark(t.Context(), store, "--data-dir", dataDir))
}

func undeliveredIn(t *testing.T, url string) (int, error) {
	t.Helper()
	store, err := node.OpenPostgres(t.Context(), url, postgres.Options{Existing: true})
	if err != nil {
		return 0, err
	}
	defer store.Close()
	backlog, err := store.Backlog(t.Context(), 100)
	return backlog.Undelivered, err
}

// TestMove_StoppedBetweenTheMarks_NeitherStoreStartsUntilItIsFinished in both directions.
func TestMove_StoppedBetweenTheMarks_NeitherStoreStartsUntilItIsFinished(t *testing.T) {
	url := postgresServer(t).URL("postgres")
	dataDir := stoppedNode(t)
	back := t.TempDir()

	there := newMove(t, dataDir, url)
	there.to = stopping{there.to}
	if err := there.run(t.Context()); !errors.Is(err, errStop) {
		t.Fatalf("got %v, want %v", err, errStop)
	}
	there.end(t)
	if _, err := undelivered(t, dataDir); err == nil {
		t.Error("the source starts")
	}
	if _, err := undeliveredIn(t, url); err == nil || !strings.Contains(err.Error(), "has not ended") {
		t.Errorf("the target: got %v, want a word that the move has not ended", err)
	}
	again := newMove(t, dataDir, url)
	if err := again.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	again.end(t)
	if n, err := undeliveredIn(t, url); err != nil || n != 1 {
		t.Errorf("the target: got %d, %v, want 1 message", n, err)
	}

	here := newMove(t, url, back)
	here.to = stopping{here.to}
	if err := here.run(t.Context()); !errors.Is(err, errStop) {
		t.Fatalf("got %v, want %v", err, errStop)
	}
	here.end(t)
	if holdsStore(filepath.Join(back, "store")) {
		t.Error("the target starts")
	}
	for range 2 { // the second finds it done
		again = newMove(t, url, back)
		if err := again.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		again.end(t)
	}
	if n, err := undelivered(t, back); err != nil || n != 1 {
		t.Errorf("the target: got %d, %v, want 1 message", n, err)
	}
	if _, err := undeliveredIn(t, url); err == nil || !strings.Contains(err.Error(), "was moved to") {
		t.Errorf("the source: got %v, want a word that it was moved", err)
	}
}

func TestMove_SourceHasFindings_IsRefusedAndNothingIsWritten(t *testing.T) {
	url := postgresServer(t).URL("postgres")
	dataDir := stoppedNode(t)
	m := newMove(t, dataDir, url)
	source, err := m.from.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m.from = broken{m.from, source}
	if err := m.run(t.Context()); err == nil || !strings.Contains(err.Error(), "verify --repair") {
		t.Errorf("got %v, want a word on verify --repair", err)
	}
	m.end(t)
	if n, err := undelivered(t, dataDir); err != nil || n != 1 {
		t.Errorf("the source: got %d, %v, want 1 message and no mark", n, err)
	}
}

// broken is a source in whose store something is wrong.
type broken struct {
	moveSource
	store movable
}

func (b broken) open(context.Context) (movable, error) { return brokenStore{b.store}, nil }

type brokenStore struct{ movable }

func (brokenStore) Verify(_ context.Context, _ bool, found func(esh3ar.Finding)) (esh3ar.VerifyReport, error) {
	found(esh3ar.Finding{Check: "planted", Action: esh3ar.Reported})
	return esh3ar.VerifyReport{Findings: 1}, nil
}
