package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/auth"
)

// testPlatform is a complete node behind a gateway, both in this process, so that the coverage of their code guides the fuzzer.
type testPlatform struct {
	node, gateway string // host:port
	operators     string // host:port of what --admin-listen names; else node's
	key, token    string // of the business and of a device
	admin         string // token
	firstEvent    string // id of an event before most others; of a test that needs one
	log           *panicLog
}

// wholePhone is the number of the device.
const wholePhone = "+967771234568"

// panicLog drops what a server prints and remembers the first stack in it.
type panicLog struct {
	mu    sync.Mutex
	stack string
	ready chan struct{} // closed when the node has printed that it is ready
	once  sync.Once
}

func (l *panicLog) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("Ready on ")) {
		l.once.Do(func() { close(l.ready) })
	}
	if bytes.Contains(p, []byte("goroutine ")) || bytes.Contains(p, []byte("panic")) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.stack == "" {
			l.stack = string(p)
		}
	}
	return len(p), nil
}

func (l *panicLog) panicked() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stack
}

// startWhole starts the servers for one test and ends them with it.
func startWhole(tb testing.TB, flags ...string) *testPlatform {
	tb.Helper()
	dir := tb.TempDir()
	w := &testPlatform{node: freeAddress(tb), gateway: freeAddress(tb), log: &panicLog{ready: make(chan struct{})}}
	w.operators = w.node
	if i := slices.Index(flags, "--admin-listen"); i >= 0 {
		w.operators = flags[i+1]
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() { // ends when stop is called
		ended <- run(ctx, append([]string{
			"serve", "--data-dir", dir, "--listen", w.node, "--role", "all", "--gateway-listen", w.gateway, "--shutdown-timeout", "2s",
			"--gateway-shutdown-timeout", "2s", "--gateway-drain-notice", "1ms",
		}, flags...), w.log, w.log)
	}()
	select {
	case <-w.log.ready:
	case code := <-ended:
		stop()
		tb.Fatalf("the node ended with code %d", code)
	case <-time.After(time.Minute): // bounds a hang
		stop()
		tb.Fatal("the node is not ready")
	}
	tb.Cleanup(func() { stop(); <-ended })
	var secrets struct{ AdminToken, APIKey string }
	text, err := os.ReadFile(filepath.Join(dir, auth.BootstrapFile))
	if err == nil {
		err = json.Unmarshal(text, &secrets)
	}
	if err != nil {
		tb.Fatal(err)
	}
	w.key, w.admin = secrets.APIKey, secrets.AdminToken
	w.token = w.deviceToken(tb, secrets.AdminToken)
	return w
}

func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (w *testPlatform) deviceToken(tb testing.TB, admin string) string {
	tb.Helper()
	body := strings.NewReader(`{"phoneNumber":"` + wholePhone + `","deviceId":"fuzzed"}`)
	req, err := http.NewRequest(http.MethodPost, "http://"+w.operators+"/admin/v1/device-tokens", body)
	if err != nil {
		tb.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+admin)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		tb.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ AccessToken string }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.AccessToken == "" {
		tb.Fatalf("no device token: %d %v", resp.StatusCode, err)
	}
	return answer.AccessToken
}

// fill replaces the names of credentials in a fuzzed text by the credentials, so that mutations keep them valid.
func (w *testPlatform) fill(text []byte) []byte {
	text = bytes.ReplaceAll(text, []byte("{KEY}"), []byte(w.key))
	return bytes.ReplaceAll(text, []byte("{TOKEN}"), []byte(w.token))
}

// address is the node or the gateway.
func (w *testPlatform) address(viaGateway bool) string {
	if viaGateway {
		return w.gateway
	}
	return w.node
}

// readWithin bounds how long an answer is awaited; a server may wait longer for the rest of a request.
const readWithin = 200 * time.Millisecond

// dial opens a connection for one input.
func (w *testPlatform) dial(t *testing.T, address string) (*net.TCPConn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	tcp := c.(*net.TCPConn) // the network is tcp
	_ = tcp.SetLinger(0)    // no port stays behind
	return tcp, bufio.NewReader(c)
}

// unharmed fails if a server has recovered from a panic or does not serve a good caller.
func (w *testPlatform) unharmed(t *testing.T) {
	t.Helper()
	if stack := w.log.panicked(); stack != "" {
		t.Fatalf("a server has panicked: %.4000s", stack)
	}
	for _, address := range []string{w.node, w.gateway} {
		conn, r := w.dial(t, address)
		_ = conn.SetDeadline(time.Now().Add(time.Minute)) // bounds a hang
		body := `{"recipientPhoneNumber":"+967771234569","messageContent":"x"}`
		fmt.Fprintf(conn, "POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			w.key, len(body), body)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("a good caller gets no answer: %v", err)
		}
		_, _ = io.Copy(io.Discard, resp.Body) // the status decides
		resp.Body.Close()
		conn.Close()
		// 429: the inputs of a fuzzer may have used the plan.
		if resp.StatusCode != http.StatusAccepted && resp.StatusCode != http.StatusTooManyRequests {
			t.Fatalf("a good caller is answered %d at %s", resp.StatusCode, address)
		}
	}
}

// wellFormed reads answers until the connection ends or is silent, and fails if one of them is no HTTP. It stops at a stream or an
// upgrade.
func wellFormed(t *testing.T, conn net.Conn, r *bufio.Reader) {
	t.Helper()
	for range 100 {
		_ = conn.SetReadDeadline(time.Now().Add(readWithin)) // a socket that is gone fails below
		first, err := r.Peek(1)
		if err != nil {
			return
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			if !isNetwork(err) {
				t.Fatalf("the answer is no HTTP: %v, it begins with %q", err, first)
			}
			return
		}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			return
		}
		if resp.StatusCode < 100 || resp.StatusCode > 599 {
			t.Fatalf("status %d", resp.StatusCode)
		}
		_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
		resp.Body.Close()
		if err != nil && !isNetwork(err) {
			t.Fatalf("the body of %d is no HTTP: %v", resp.StatusCode, err)
		}
		if err != nil {
			return
		}
	}
}

// isNetwork reports whether err is the end of a connection or of patience, not a fault of the bytes.
func isNetwork(err error) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	var network net.Error
	return errors.As(err, &network)
}
