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
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/httpapi"
)

// hotBody is the body of the measurements: 170 bytes, as most calls are.
const hotBody = `{"recipientPhoneNumber":"+967771234567","messageContent":"Your code is 123456. It is good for five minutes; nobody from us will ever ask for it.","priority":"normal"}`

// instant stores nothing and answers at once: what remains is the cost of the edge.
type instant struct{ receipts [1]esh3ar.Receipt }

func (s *instant) Submit(_ context.Context, c *esh3ar.Call) (esh3ar.Answer, error) {
	m := c.Messages[0]
	s.receipts[0] = esh3ar.Receipt{ID: m.ID, Seq: 1, Status: esh3ar.Queued, Recipient: m.Recipient}
	return esh3ar.Answer{Receipts: s.receipts[:]}, nil
}

// floor is the least that a REST call can cost here: net/http and encoding/json.
func floor(w http.ResponseWriter, r *http.Request) {
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
	config.Intake = &instant{}
	return map[string]http.Handler{"floor": http.HandlerFunc(floor), "send": httpapi.New(config)}, n.key
}

// BenchmarkHandler measures the handlers alone, without net/http's share.
func BenchmarkHandler(b *testing.B) {
	handlers, key := hotHandlers(b)
	for _, name := range []string{"floor", "send"} {
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

// BenchmarkCall measures whole calls over one keep-alive connection, with a client that allocates nothing: the
// difference of the two in allocations is what the edge adds per message.
func BenchmarkCall(b *testing.B) {
	handlers, key := hotHandlers(b)
	for _, name := range []string{"floor", "send"} {
		b.Run(name, func(b *testing.B) {
			conn := serve(b, handlers[name])
			request := []byte(fmt.Sprintf("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
				key, len(hotBody), hotBody))
			in := bufio.NewReader(conn)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := conn.Write(request); err != nil {
					b.Fatal(err)
				}
				if err := readAnswer(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func serve(b *testing.B, h http.Handler) net.Conn {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := httpapi.NewServer(h, slog.New(slog.DiscardHandler))
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = conn.Close()
		_ = server.Shutdown(context.Background())
		<-done
	})
	return conn
}

// readAnswer passes one 202 and its body.
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
