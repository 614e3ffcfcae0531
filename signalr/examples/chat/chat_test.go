package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRun starts the example, fetches its page and what that names, and stops it.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	urls, ended := make(chan string, 1), make(chan error, 1)
	go func() { ended <- run(ctx, "127.0.0.1:0", func(url string) { urls <- url }) }()
	var url string
	select {
	case url = <-urls:
	case err := <-ended:
		t.Fatal(err)
	case <-time.After(20 * time.Second):
		t.Fatal("does not come up")
	}
	for path, want := range map[string]string{
		"/": "<title>Chat</title>", "/chat.js": "HubConnectionBuilder", "/chat.css": "", "/signalr/signalr.min.js": "HubConnectionBuilder",
		"/signalr/signalr-protocol-msgpack.min.js": "MessagePackHubProtocol",
	} {
		status, body := fetch(t, http.MethodGet, url+path)
		if status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %.200s", path, status, body)
		}
	}
	if status, body := fetch(t, http.MethodPost, url+"/chat/negotiate?negotiateVersion=1&access_token=amal"); status != http.StatusOK || !strings.Contains(body, "connectionToken") {
		t.Errorf("negotiate: %d %s", status, body)
	}
	if status, _ := fetch(t, http.MethodPost, url+"/chat/negotiate?negotiateVersion=1"); status != http.StatusUnauthorized {
		t.Errorf("nobody in particular: %d", status)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

func fetch(t *testing.T, method, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}
