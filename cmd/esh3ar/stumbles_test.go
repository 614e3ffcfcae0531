package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestHelpAsAWord: who types help means --help.
func TestHelpAsAWord(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"help"}, {"help", "serve"}, {"help", "dlq", "list"}} {
		var out, errs bytes.Buffer
		want := strings.Join(append([]string{"Usage: esh3ar"}, args[1:]...), " ")
		if code := run(t.Context(), args, &out, &errs); code != exitOK || !strings.HasPrefix(out.String(), want) {
			t.Errorf("%q: code %d, stdout %.60q, stderr %q", args, code, out.String(), errs.String())
		}
	}
}

// TestAWaitThatEndsInACall says how the message stands, not that a call was cut short.
func TestAWaitThatEndsInACall(t *testing.T) {
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
