package main

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRun_HelpAsWord_PrintsHelp: who types help means --help.
func TestRun_HelpAsWord_PrintsHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"help"}, {"help", "serve"}, {"help", "dlq", "list"}} {
		var out, errs bytes.Buffer
		want := strings.Join(append([]string{"Usage: esh3ar"}, args[1:]...), " ")
		if code := run(t.Context(), args, &out, &errs); code != exitOK || !strings.HasPrefix(out.String(), want) {
			t.Errorf("%q: code %d, stdout %.60q, stderr %q", args, code, out.String(), errs.String())
		}
	}
}

// TestSend_WaitEndsDuringCall_ReportsStatus says how the message stands, not that a call was cut short.
func TestSend_WaitEndsDuringCall_ReportsStatus(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusAccepted)
			_, _ = w.Write([]byte(`{"id":"a","status":"queued","seq":1}`))
			return
		}
		<-r.Context().Done() // until the caller has waited long enough
	}))
	defer server.Close()
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"send", "--url", server.URL, "--api-key", "k", "--to", "771234567", "--text", "x", "--wait", "300ms"}, &out, &errs)
	if want := "esh3ar: still queued after 300ms; the message is stored and waits for its phone\n"; code != exitFail || errs.String() != want {
		t.Errorf("code %d, stderr %q, want %q", code, errs.String(), want)
	}
}

// TestGateway_PortInUse_NamesFlag ends as one of the node does: a fault of the moment, by the name of its own flag.
func TestGateway_PortInUse_NamesFlag(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, args := range [][]string{
		{"--listen", taken.Addr().String()},
		{"--listen", "127.0.0.1:0", "--role", "all", "--gateway-listen", taken.Addr().String()},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), append([]string{"serve", "--data-dir", t.TempDir(), "--log-level", "error"}, args...), &out, &errs)
		want := "esh3ar: " + args[len(args)-2] + ": " + taken.Addr().String() + " is in use by another program; stop it or choose another port\n"
		if code != exitFail || errs.String() != want {
			t.Errorf("code %d, stderr %q, want %q", code, errs.String(), want)
		}
	}
}

// TestServe_ForeignAddress_NamesFlag says what is wrong with it. 192.0.2.0/24 is for documents, RFC 5737.
func TestServe_ForeignAddress_NamesFlag(t *testing.T) {
	t.Parallel()
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"serve", "--data-dir", t.TempDir(), "--listen", "192.0.2.1:0"}, &out, &errs)
	if want := "esh3ar: --listen: this machine has no address 192.0.2.1:0; choose one of its own, or 0.0.0.0 for all of them\n"; code != exitFail || errs.String() != want {
		t.Errorf("code %d, stderr %q, want %q", code, errs.String(), want)
	}
}

// TestSend_Accepted_PrintsWhereStored also where it has no place in its inbox yet.
func TestSend_Accepted_PrintsWhereStored(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		`{"id":"a","status":"queued","seq":7,"recipientPhoneNumber":"+967771234567","durability":"stored"}`: "a  queued  seq 7  to +967771234567\n",
		`{"id":"a","status":"queued","recipientPhoneNumber":"+967771234567","durability":"spilled"}`:        "a  queued  on the node's disk until its database answers  to +967771234567\n",
		`{"id":"a","status":"scheduled","recipientPhoneNumber":"+967771234567","durability":"spilled"}`:     "a  scheduled  for 2030-01-01T09:00:00Z  to +967771234567\n",
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			_, _ = w.Write([]byte(answer))
		}))
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"send", "--url", server.URL, "--api-key", "k", "--to", "771234567", "--text", "x", "--at", "2030-01-01T09:00:00Z"}, &out, &errs)
		server.Close()
		if code != exitOK || out.String() != want {
			t.Errorf("%s: code %d, %q%s, want %q", answer, code, out.String(), errs.String(), want)
		}
	}
}

// TestListen_InvalidPhone_NamesFlag as send does.
func TestListen_InvalidPhone_NamesFlag(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	code, _, errs := b.run(t, "listen", "--phone", "12")
	if want := "esh3ar: --phone: is not a possible phone number: it has too few digits\n"; code != exitUsage || errs != want {
		t.Errorf("code %d, stderr %q, want %q", code, errs, want)
	}
}

// TestClient_URLOfOtherServer_IsReported names the flag that leads there.
func TestClient_URLOfOtherServer_IsReported(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer server.Close()
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"send", "--url", server.URL, "--api-key", "k", "--to", "771234567", "--text", "x"}, &out, &errs)
	if want := "esh3ar: --url: no answer from " + server.URL + ": EOF\n"; code != exitFail || errs.String() != want {
		t.Errorf("code %d, stderr %q, want %q", code, errs.String(), want)
	}
}

// TestConfig_WithoutNames_Fails is told in words of the file.
func TestConfig_WithoutNames_Fails(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "esh3ar.yaml")
	if err := os.WriteFile(file, []byte("- listen\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"--config", file, "serve"}, &out, &errs)
	if want := "esh3ar: --config: must be lines of NAME: VALUE\n"; code != exitUsage || errs.String() != want {
		t.Errorf("code %d, stderr %q, want %q", code, errs.String(), want)
	}
}

// TestScaler_RedisChange_IsLogged: an outage is a warning, its end is not.
func TestScaler_RedisChange_IsLogged(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	heard := scalerHears(slog.New(slog.NewTextHandler(&text, nil)))
	heard("connection", nil)
	heard("connection", errors.New("refused"))
	if got := text.String(); strings.Contains(got, "nil") || !strings.Contains(got, `level=INFO msg="Redis answers"`) || !strings.Contains(got, "level=WARN") || !strings.Contains(got, "error=refused") {
		t.Error(got)
	}
}
