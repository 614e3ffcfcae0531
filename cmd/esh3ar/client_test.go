package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/httpapi"
	"github.com/esh3artech/esh3ar/internal/ingest"
	"github.com/esh3artech/esh3ar/internal/phonenumber"
	"github.com/esh3artech/esh3ar/internal/ratelimit"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// backend is a node without phones: the API over a real store, on a real port.
type backend struct {
	store  *embedded.Store
	config httpapi.Config
	url    string
	dir    string // with bootstrap.json
}

// nowhere is a target that discards every message.
type nowhere struct{}

func (nowhere) Publish([]*esh3ar.Message) {}

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{dir: t.TempDir()}
	var err error
	if b.store, err = embedded.Open(t.TempDir(), embedded.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.store.Close() })
	made, err := (&auth.Bootstrap{Store: b.store, Dir: b.dir, Now: time.Now}).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	numbers, err := phonenumber.NewParser("YE")
	if err != nil {
		t.Fatal(err)
	}
	plans := auth.NewPlans(b.store)
	b.config = httpapi.Config{
		Plans: plans, Quotas: ratelimit.NewLimiters(ratelimit.Options{Plan: plans.Lookup, Usage: b.store}),
		Intake: startIntake(t, b.store), Store: b.store, Keys: auth.NewKeys(b.store, time.Now), Admin: made.Admin, Tokens: made.Tokens,
		Phones: numbers, OnCanceled: func(esh3ar.Recipient, esh3ar.MessageID, esh3ar.Life) {}, Ready: func() error { return nil }, Metrics: http.NotFoundHandler(),
	}
	b.serve(t)
	return b
}

func startIntake(t *testing.T, store *embedded.Store) *ingest.Intake {
	t.Helper()
	in := ingest.New(store, nowhere{}, ingest.Options{})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	return in
}

// serve listens with the configuration as it is.
func (b *backend) serve(t *testing.T) {
	t.Helper()
	server := httptest.NewServer(httpapi.New(b.config))
	t.Cleanup(server.Close)
	b.url = server.URL
}

// run runs the program against the node.
func (b *backend) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return runHere(t, append(args, "--url", b.url, "--data-dir", b.dir)...)
}

func runHere(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, &out, &errs)
	return code, out.String(), errs.String()
}

// ok runs it and wants success.
func (b *backend) ok(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	code, stdout, stderr := b.run(t, args...)
	if code != exitOK {
		t.Fatalf("%q: code %d, stderr %q", args, code, stderr)
	}
	return stdout
}

// refused runs it and wants one line with a word in it.
func (b *backend) refused(t *testing.T, code int, word string, args ...string) {
	t.Helper()
	got, _, stderr := b.run(t, args...)
	if got != code || strings.Count(stderr, "\n") != 1 || !strings.Contains(stderr, word) {
		t.Errorf("%q: code %d, stderr %q; want %d and one line with %q", args, got, stderr, code, word)
	}
}

func (b *backend) send(t *testing.T, args ...string) esh3ar.MessageID {
	t.Helper()
	out := b.ok(t, append([]string{"send", "--to", "+967771234567", "--text", "hello"}, args...)...)
	id, err := esh3ar.ParseMessageID(strings.Fields(out)[0])
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (b *backend) record(t *testing.T, id esh3ar.MessageID) esh3ar.Record {
	t.Helper()
	record, err := b.store.Message(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return record
}

func TestSend_Times_AreSent(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	due := esh3ar.TimeOf(time.Now().Add(time.Hour))
	out := b.ok(t, "send", "--to", "+967771234567", "--text", "x", "--ttl", "1m30s", "--at", due.String())
	if !strings.Contains(out, "  scheduled  for "+due.String()+"  to +967771234567\n") {
		t.Errorf("stdout %q", out)
	}
	id, err := esh3ar.ParseMessageID(strings.Fields(out)[0])
	if err != nil {
		t.Fatal(err)
	}
	if m := b.record(t, id); m.Status != esh3ar.Scheduled || m.SendAt != due || m.TTL != 90*time.Second || m.ExpiresAt != due.Add(m.TTL) {
		t.Errorf("%+v", m)
	}
	past := b.ok(t, "send", "--to", "+967771234567", "--text", "x", "--at", "2020-01-01T00:00:00+03:00")
	if !strings.Contains(past, "queued  seq 1  ") {
		t.Errorf("stdout %q", past)
	}
}

func TestSend_InvalidValue_NamesFlag(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	far := time.Now().Add(91 * 24 * time.Hour).Format(time.RFC3339)
	for word, args := range map[string][]string{
		"--ttl: must be whole seconds":              {"--ttl", "1500ms"},
		"from 1s to 720h, is -1s":                   {"--ttl=-1s"},
		"is 720h0m1s":                               {"--ttl", "720h1s"},
		"--at: \"tomorrow\" is not":                 {"--at", "tomorrow"},
		"--at: must be at most 90 days":             {"--at", far},
		"--priority: must be low":                   {"--priority", "now"},
		"--key: must be one value":                  {"--key", "two words"},
		"--subject: must have at most 256":          {"--subject", strings.Repeat("é", 257)},
		"--correlation-id: must have at most 128":   {"--correlation-id", strings.Repeat("é", 129)},
		"--subject: must have at most 256 characte": {"--subject", strings.Repeat("é", 300), "--priority", "x"},
	} {
		b.refused(t, exitUsage, word, append([]string{"send", "--to", "+967771234567", "--text", "x"}, args...)...)
	}
	b.refused(t, exitUsage, "--to: is not a possible phone number: it has too few digits\n", "send", "--to", "7", "--text", "x")
	b.refused(t, exitFail, "(unauthenticated)", "send", "--to", "7", "--text", "x", "--api-key", "nobody")
}

func TestSend_FieldFaults_AreReportedAsFlags(t *testing.T) {
	t.Parallel()
	flags := map[string]string{"sendAt": "--at", "limit": "--limit"}
	for name, c := range map[string]struct {
		body, want string
		usage      bool
	}{
		"of a field":     {`{"code":"validation_failed","errors":[{"pointer":"/sendAt","detail":"is late"}]}`, "--at: is late", true},
		"of a parameter": {`{"code":"validation_failed","errors":[{"parameter":"limit","detail":"is low"}]}`, "--limit: is low", true},
		"of both": {
			`{"code":"validation_failed","errors":[{"parameter":"limit","detail":"a"},{"pointer":"/sendAt","detail":"b; write c"}]}`,
			"--limit: a; --at: b", true,
		},
		"of what no flag sets": {
			`{"code":"validation_failed","detail":"2 faults","errors":[{"pointer":"/sendAt","detail":"a"},{"pointer":"/other","detail":"b"}]}`,
			"2 faults; /sendAt: a; /other: b (validation_failed)", false,
		},
		"of nothing": {`{"code":"overloaded","detail":"full"}`, "full (overloaded)", false},
	} {
		var p problem
		if err := json.Unmarshal([]byte(c.body), &p); err != nil {
			t.Fatal(err)
		}
		err := flagged(p, flags)
		if _, usage := errors.AsType[usage.Error](err); err.Error() != c.want || usage != c.usage {
			t.Errorf("%s: %q, want %q", name, err, c.want)
		}
	}
	if flagged(nil, flags) != nil {
		t.Error("no error became one")
	}
}
