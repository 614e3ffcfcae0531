package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/httpapi"
	"github.com/esh3artech/esh3ar/internal/ratelimit"
)

// hotBody is the request body of the benchmarks: 170 bytes, a typical size.
const hotBody = `{"recipientPhoneNumber":"+967771234567","messageContent":"Your code is 123456. It is good for five minutes; nobody from us will ever ask for it.","priority":"normal"}`

// noopIntake stores nothing and answers immediately, so that only the cost of the API remains.
type noopIntake struct{ receipts [1]esh3ar.Receipt }

func (s *noopIntake) Submit(_ context.Context, c *esh3ar.Call) (esh3ar.Answer, error) {
	m := c.Messages[0]
	s.receipts[0] = esh3ar.Receipt{ID: m.ID, Seq: 1, Status: esh3ar.Queued, Recipient: m.Recipient}
	return esh3ar.Answer{Receipts: s.receipts[:]}, nil
}

// baseline is a minimal handler with net/http and encoding/json, for comparison.
func baseline(w http.ResponseWriter, r *http.Request) {
	var m struct {
		RecipientPhoneNumber, MessageContent, Priority string
	}
	if json.NewDecoder(r.Body).Decode(&m) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// hotHandlers are the two handlers under comparison.
func hotHandlers(b *testing.B) (map[string]http.Handler, string) {
	n := newNode(b)
	config := n.config
	config.Intake = &noopIntake{}
	unlimited := &esh3ar.Plan{Rate: 1e9, Burst: esh3ar.MaxBurst} // calls within their limits are measured
	config.Quotas = ratelimit.NewLimiters(ratelimit.Options{Plan: func(string) *esh3ar.Plan { return unlimited }, Usage: n.store})
	return map[string]http.Handler{"baseline": http.HandlerFunc(baseline), "send": httpapi.New(config)}, n.key
}

// BenchmarkHandler measures the handlers alone, without net/http.
func BenchmarkHandler(b *testing.B) {
	handlers, key := hotHandlers(b)
	for _, name := range []string{"baseline", "send"} {
		b.Run(name, func(b *testing.B) {
			body := bytes.NewReader([]byte(hotBody))
			r := httptest.NewRequest(http.MethodPost, "/v1/messages", nil)
			r.Header.Set("Authorization", "Bearer "+key)
			r.Header.Set("Content-Type", "application/json")
			r.Body, r.ContentLength = io.NopCloser(body), int64(len(hotBody))
			w := &discard{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				body.Reset([]byte(hotBody))
				clear(w.header)
				handlers[name].ServeHTTP(w, r)
			}
			if w.status != http.StatusAccepted {
				b.Fatal(w.status)
			}
		})
	}
}

type discard struct {
	header http.Header
	status int
}

func (w *discard) Header() http.Header         { return w.header }
func (w *discard) WriteHeader(status int)      { w.status = status }
func (w *discard) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkCall measures calls over one keep-alive connection with a client that does not allocate. The difference in
// allocations between the two handlers is what the API adds per message.
func BenchmarkCall(b *testing.B) {
	handlers, key := hotHandlers(b)
	for _, name := range []string{"baseline", "send"} {
		b.Run(name, func(b *testing.B) {
			c := newClient(b, serve(b, handlers[name]), key)
			b.ReportAllocs()
			for b.Loop() {
				if err := c.call(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkDurable runs 300 callers in a closed loop in the same process, against the baseline handler and against the
// real path through ingest and the store with fsync. cpu-ns/op is the CPU time of client and server; on a shared machine it
// is more reliable than ns/op.
func BenchmarkDurable(b *testing.B) {
	n := newNode(b)
	for name, h := range map[string]http.Handler{"baseline": http.HandlerFunc(baseline), "send": n.api} {
		b.Run(name, func(b *testing.B) {
			addr := serve(b, h)
			clients := make([]*client, 300)
			for i := range clients {
				clients[i] = newClient(b, addr, n.key)
			}
			var all sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			before, left := cpu(b), atomic.Int64{}
			left.Store(int64(b.N))
			for _, c := range clients {
				all.Go(func() {
					for left.Add(-1) >= 0 {
						if err := c.call(); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
		})
	}
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func serve(b *testing.B, h http.Handler) net.Addr {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := httpapi.NewServer(h, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	b.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return listener.Addr()
}

// client calls over one keep-alive connection without allocations.
type client struct {
	conn    net.Conn
	in      *bufio.Reader
	request []byte
}

func newClient(b *testing.B, addr net.Addr, key string) *client {
	conn, err := net.Dial("tcp", addr.String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return &client{conn, bufio.NewReader(conn), fmt.Appendf(nil,
		"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
		key, len(hotBody), hotBody)}
}

func (c *client) call() error {
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	return readAnswer(c.in)
}

// readAnswer reads one response with status 202 and discards its body.
func readAnswer(in *bufio.Reader) error {
	length := 0
	for line := 0; ; line++ {
		text, err := in.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case line == 0 && !bytes.Contains(text, []byte(" 202 ")):
			return fmt.Errorf("answer %q", text)
		case len(text) == 2:
			_, err := in.Discard(length)
			return err
		}
		if value, ok := bytes.CutPrefix(text, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(value[:len(value)-2])); err != nil {
				return err
			}
		}
	}
}
