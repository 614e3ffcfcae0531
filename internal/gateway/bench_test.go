package gateway_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/esh3artech/esh3ar/internal/gateway"
)

const (
	benchBody = `{"recipientPhoneNumber":"+967771234567","messageContent":"hi"}`
	benchCall = "POST /v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\nContent-Type: application/json\r\nContent-Length: 62\r\n\r\n" + benchBody
	benchDone = `{"id":"01890a5d-ac96-774b-bcce-b302099a8057","status":"queued","seq":1,"durability":"stored"}`
)

// BenchmarkCall measures a call over a keep-alive connection, directly to a node and through a gateway. Client and node run in
// the same process, so only the difference matters. `make bench-gateway` uses separate processes.
func BenchmarkCall(b *testing.B) {
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, benchDone)
	}))
	defer node.Close()
	g, err := gateway.New(gateway.Options{Nodes: []string{node.URL}})
	if err != nil {
		b.Fatal(err)
	}
	front := httptest.NewServer(g)
	defer front.Close()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = g.Run(ctx) })
	defer running.Wait()
	defer stop()
	for name, server := range map[string]*httptest.Server{"direct": node, "gateway": front} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) { benchCalls(b, pb, strings.TrimPrefix(server.URL, "http://")) })
		})
	}
}

func benchCalls(b *testing.B, pb *testing.PB, addr string) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Error(err)
		return
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for pb.Next() {
		if _, err := io.WriteString(conn, benchCall); err != nil {
			b.Error(err)
			return
		}
		for line := []byte("head"); len(line) > 2; { // to the empty one
			if line, err = in.ReadSlice('\n'); err != nil {
				b.Error(err)
				return
			}
		}
		if _, err := in.Discard(len(benchDone)); err != nil {
			b.Error(err)
			return
		}
	}
}
