//go:build linux

package httpfast

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar/internal/runtime/netpoll"
)

// BenchmarkCall measures requests with a body of 170 bytes on one connection, on the fast path and in net/http.
func BenchmarkCall(b *testing.B) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header()["Content-Type"] = []string{"application/json"}
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"id":"01a20a0a-b1a2-7d0e-a0e1-2fb1f0a9a5d1","status":"queued"}`)
	})
	for name, takes := range map[string]bool{"plain": true, "net-http": false} {
		b.Run(name, func(b *testing.B) {
			s := New(&http.Server{Handler: handler}, func(string, string) bool { return takes })
			poller, err := netpoll.New()
			if err != nil {
				b.Fatal(err)
			}
			inner, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			listener, err := poller.Listen(inner)
			if err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(b.Context())
			polled, served := make(chan error, 1), make(chan error, 1)
			go func() { polled <- poller.Run(ctx) }()
			go func() { served <- s.Serve(listener) }()
			calls(b, inner.Addr().String())
			if err := s.Shutdown(b.Context()); err != nil {
				b.Error(err)
			}
			stop()
			if err := errors.Join(<-polled, <-served); !errors.Is(err, http.ErrServerClosed) {
				b.Error(err)
			}
		})
	}
}

func calls(b *testing.B, addr string) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	request := []byte("POST /v1/messages HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\nContent-Length: 170\r\nAuthorization: Bearer esk_x\r\nContent-Type: application/json\r\n\r\n" +
		strings.Repeat("a", 170))
	answer := make([]byte, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(request); err != nil {
			b.Fatal(err)
		}
		if n, err := c.Read(answer); err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 202 ") {
			b.Fatalf("%q, %v", answer[:n], err)
		}
	}
}
