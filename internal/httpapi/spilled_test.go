package httpapi_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/httpapi"
	"github.com/esh3artech/esh3ar/internal/ingest"
	"github.com/esh3artech/esh3ar/internal/ingest/spill"
)

// switchableStore is a store that a test can make unavailable.
type switchableStore struct {
	esh3ar.Appender
	away atomic.Bool
}

func (l *switchableStore) Append(ctx context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	if l.away.Load() {
		return nil, esh3ar.Errorf(esh3ar.StoreUnavailable, "away")
	}
	return l.Appender.Append(ctx, calls)
}

// withSpill returns a copy of a node with a spill, and its store, which is available at first.
func withSpill(t *testing.T, n *node, opts spill.Options) (*node, *switchableStore, *spill.Drainer) {
	t.Helper()
	kept, err := spill.Open(t.TempDir(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kept.Close() })
	store := &switchableStore{Appender: n.store}
	calls := ingest.New(store, discardPublisher{}, ingest.Options{Spill: kept})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- calls.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	drainer := spill.NewDrainer(kept, store, spill.DrainOptions{OnStored: calls.OnDrained, OnResult: calls.OnDrainResult})
	return n.with(func(c *httpapi.Config) { c.Intake = calls }), store, drainer
}

func TestSend_StoreUnavailable_IsSpilled(t *testing.T) {
	t.Parallel()
	n, store, drainer := withSpill(t, newNode(t), spill.Options{})
	store.away.Store(true)
	keyed := request{method: "POST", path: "/v1/messages", token: n.key, body: hello, header: map[string]string{"Idempotency-Key": "k"}}
	first := n.do(t, keyed)
	sent := decode[accepted](t, first.body)
	if first.status != http.StatusAccepted || sent.Durability != "spilled" || sent.Status != "queued" || strings.Contains(string(first.body), "seq") ||
		first.header.Get("Location") != "/v1/messages/"+sent.ID {
		t.Fatalf("%d %s", first.status, first.body)
	}
	if again := n.do(t, keyed); again.status != http.StatusAccepted || again.header.Get("Idempotent-Replayed") != "true" || string(again.body) != string(first.body) {
		t.Errorf("replay: got %d %s, want 202 %s", again.status, again.body, first.body)
	}
	keyed.body = strings.Replace(hello, "hello", "other", 1)
	wantProblem(t, n.do(t, keyed), http.StatusUnprocessableEntity, "idempotency_mismatch")
	batch := n.post(t, "/v1/messages/batch", `{"messages":[`+hello+`,`+hello+`]}`)
	if batch.status != http.StatusAccepted || strings.Count(string(batch.body), `"durability":"spilled"`) != 2 || strings.Contains(string(batch.body), "seq") {
		t.Errorf("batch: got %d %s, want %d", batch.status, batch.body, http.StatusAccepted)
	}
	store.away.Store(false)
	if err := drainer.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if read := decode[message](t, n.get(t, "/v1/messages/"+sent.ID).body); read.Seq != 1 || read.Status != "queued" {
		t.Errorf("after the drain: got %+v, want seq 1 and queued", read)
	}
	if next := n.send(t, hello); next.Seq != 4 || next.Durability != "stored" {
		t.Errorf("next message: got %+v, want seq 4 and stored", next)
	}
}

func TestSend_SpillFull_IsStorageFull(t *testing.T) {
	t.Parallel()
	n, store, _ := withSpill(t, newNode(t), spill.Options{MaxBytes: 1})
	store.away.Store(true)
	got := n.post(t, "/v1/messages", hello)
	wantProblem(t, got, http.StatusServiceUnavailable, "storage_full")
	if got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}
