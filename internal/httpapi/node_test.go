package httpapi_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/httpapi"
	"github.com/esh3artech/esh3ar/internal/ingest"
	"github.com/esh3artech/esh3ar/internal/phonenumber"
	"github.com/esh3artech/esh3ar/internal/ratelimit"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is an API with a real store and a real intake.
type node struct {
	store  *embedded.Store
	config httpapi.Config
	api    http.Handler
	key    string // API key of the business default
	admin  string

	business esh3ar.BusinessID
}

func newNode(t testing.TB) *node {
	t.Helper()
	store, err := embedded.Open(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	result, err := (&auth.Bootstrap{Store: store, Dir: t.TempDir(), Now: time.Now}).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	phones, err := phonenumber.NewParser("YE")
	if err != nil {
		t.Fatal(err)
	}
	plans := auth.NewPlans(store)
	calls := ingest.New(store, discardPublisher{}, ingest.Options{})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- calls.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	n := &node{
		store: store, business: result.Secrets.BusinessID, key: result.Secrets.APIKey, admin: result.Secrets.AdminToken,
		config: httpapi.Config{
			Intake: calls, Store: store, Keys: auth.NewKeys(store, time.Now), Plans: plans, Quotas: ratelimit.NewLimiters(ratelimit.Options{Plan: plans.Lookup, Usage: store}), Admin: result.Admin, Tokens: result.Tokens, Credentials: result.Watch,
			Phones: phones, OnCanceled: func(esh3ar.Recipient, esh3ar.MessageID, esh3ar.Life) {}, Ready: func() error { return nil },
			Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/plain; version=0.0.4")
				_, _ = io.WriteString(w, "up 1\n")
			}),
		},
	}
	n.api = httpapi.New(n.config)
	return n
}

// with returns a copy of the node with a changed configuration.
func (n *node) with(change func(*httpapi.Config)) *node {
	other := *n
	change(&other.config)
	other.api = httpapi.New(other.config)
	return &other
}

// reply is a response.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// request is a call to make.
type request struct {
	method, path, token, body string
	header                    map[string]string
}

// do makes a call and checks it against the OpenAPI document.
func (n *node) do(t *testing.T, a request) reply {
	t.Helper()
	r := httptest.NewRequest(a.method, a.path, strings.NewReader(a.body))
	if a.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if a.token != "" {
		r.Header.Set("Authorization", "Bearer "+a.token)
	}
	for name, value := range a.header {
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	httpapi.NewServer(n.api, slog.New(slog.DiscardHandler)).Handler.ServeHTTP(w, r)
	got := reply{w.Code, w.Header(), w.Body.Bytes()}
	openAPI().check(t, r, []byte(strings.TrimPrefix(a.body, "\ufeff")), got)
	return got
}

func (n *node) get(t *testing.T, path string) reply {
	t.Helper()
	return n.do(t, request{method: "GET", path: path, token: n.key})
}

func (n *node) post(t *testing.T, path, body string) reply {
	t.Helper()
	return n.do(t, request{method: "POST", path: path, token: n.key, body: body})
}

func (n *node) adminPost(t *testing.T, path, body string) reply {
	t.Helper()
	return n.do(t, request{method: "POST", path: path, token: n.admin, body: body})
}

// discardPublisher replaces delivery: it ignores all messages.
type discardPublisher struct{}

func (discardPublisher) Publish([]*esh3ar.Message) {}
