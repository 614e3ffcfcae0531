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

// leaving is a store that can be away.
type leaving struct {
	esh3ar.Appender
	away atomic.Bool
}

func (l *leaving) Append(ctx context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	if l.away.Load() {
		return nil, esh3ar.Errorf(esh3ar.StoreUnavailable, "away")
	}
	return l.Appender.Append(ctx, calls)
}

// spilling gives a node a spill; its store is there until told otherwise.
func spilling(t *testing.T, n *node, opts spill.Options) (*node, *leaving, *spill.Drainer) {
	t.Helper()
	kept, err := spill.Open(t.TempDir(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kept.Close() })
	store := &leaving{Appender: n.store}
	calls := ingest.New(store, unheard{}, ingest.Options{Spill: kept})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- calls.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	drainer := spill.NewDrainer(kept, store, spill.DrainOptions{OnStored: calls.OnDrained, OnResult: calls.OnDrainResult})
	return n.with(func(c *httpapi.Config) { c.Intake = calls }), store, drainer
}

func TestWhatIsSpilledSaysSo(t *testing.T) {
	t.Parallel()
	n, store, drainer := spilling(t, newNode(t), spill.Options{})
	store.away.Store(true)
	keyed := ask{method: "POST", path: "/v1/messages", token: n.key, body: hello, header: map[string]string{"Idempotency-Key": "k"}}
	first := n.do(t, keyed)
	sent := decode[accepted](t, first.body)
	if first.status != http.StatusAccepted || sent.Durability != "spilled" || sent.Status != "queued" || strings.Contains(string(first.body), "seq") ||
		first.header.Get("Location") != "/v1/messages/"+sent.ID {
		t.Fatalf("%d %s", first.status, first.body)
	}
	if again := n.do(t, keyed); again.status != http.StatusAccepted || again.header.Get("Idempotent-Replayed") != "true" || string(again.body) != string(first.body) {
		t.Errorf("the twin: %d %s, want %s", again.status, again.body, first.body)
	}
	keyed.body = strings.Replace(hello, "hello", "other", 1)
	wantProblem(t, n.do(t, keyed), http.StatusUnprocessableEntity, "idempotency_mismatch")
	batch := n.post(t, "/v1/messages/batch", `{"messages":[`+hello+`,`+hello+`]}`)
	if batch.status != http.StatusAccepted || strings.Count(string(batch.body), `"durability":"spilled"`) != 2 || strings.Contains(string(batch.body), "seq") {
		t.Errorf("batch: %d %s", batch.status, batch.body)
	}
	store.away.Store(false)
	if err := drainer.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if read := decode[message](t, n.get(t, "/v1/messages/"+sent.ID).body); read.Seq != 1 || read.Status != "queued" {
		t.Errorf("after the drain: %+v", read)
	}
	if next := n.send(t, hello); next.Seq != 4 || next.Durability != "stored" {
		t.Errorf("the next one: %+v", next)
	}
}

func TestAFullSpillAnswersStorageFull(t *testing.T) {
	t.Parallel()
	n, store, _ := spilling(t, newNode(t), spill.Options{MaxBytes: 1})
	store.away.Store(true)
	got := n.post(t, "/v1/messages", hello)
	wantProblem(t, got, http.StatusServiceUnavailable, "storage_full")
	if got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
}
