package bench

import (
	"bufio"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/signalrclient"
)

// TestReadCentrifugo_BatchOfReplies_RecordsEachAndAnswersPings serves the frames that Centrifugo v6 sends: several replies in
// one message, and an empty object as a ping.
func TestReadCentrifugo_BatchOfReplies_RecordsEachAndAnswersPings(t *testing.T) {
	t.Parallel()
	const push = `{"push":{"channel":"#967770000000","pub":{"data":{"messageContent":"`
	payload := push + `0 xxx"}}}}` + "\n{}\n" + push + `1 xxx"}}}}`
	pong := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
		head := []byte{0x81, 126, byte(len(payload) >> 8), byte(len(payload))}
		_, _ = conn.Write(append(head, payload...))
		pong <- readFrame(buffered.Reader)
	}))
	defer server.Close()
	conn, err := signalrclient.DialWebSocket(t.Context(), signalrclient.Config{URL: server.URL, Path: "/connection/websocket"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Vanish() //nolint:errcheck // the server has closed it
	l := newLedger()
	l.begin(time.Now())
	l.begin(time.Now())
	readCentrifugo(conn, l)
	if l.received.Load() != 2 || l.foreign.Load() != 0 {
		t.Errorf("messages: got %d, and %d that were never sent, want 2 and 0", l.received.Load(), l.foreign.Load())
	}
	if got := <-pong; got != "{}" {
		t.Errorf("answer to the ping: got %q, want {}", got)
	}
}

// readFrame reads one short masked frame whose mask is zero.
func readFrame(in *bufio.Reader) string {
	head := make([]byte, 6)
	if _, err := io.ReadFull(in, head); err != nil {
		return err.Error()
	}
	text := make([]byte, head[1]&0x7f)
	_, err := io.ReadFull(in, text)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// TestCaller_PublishAnswer_CountsAsAcceptedOnlyWithResult: Centrifugo answers 200 also for an error.
func TestCaller_PublishAnswer_CountsAsAcceptedOnlyWithResult(t *testing.T) {
	t.Parallel()
	bodies := make(chan string, 2)
	answers := []string{`{"result":{}}`, `{"error":{"code":102,"message":"unknown channel"}}`}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // the caller writes it whole
		bodies <- string(body)
		_, _ = io.WriteString(w, answers[0])
		answers = answers[1:]
	}))
	defer server.Close()
	c, err := dialCaller(t.Context(), server.Listener.Addr().String(), (&centrifugo{}).format(), minSize)
	if err != nil {
		t.Fatal(err)
	}
	defer c.net.Close()
	for _, want := range []int{202, 200} {
		got, _, err := c.call(7, recipientOf(3))
		if err != nil || got != want {
			t.Errorf("answer: got %d, %v, want %d", got, err, want)
		}
		if body, want := <-bodies, `{"channel":"#967770000003","data":{"messageContent":"7 xxxxxxxxxxxxxx"}}`; body != want {
			t.Errorf("body: got %s, want %s", body, want)
		}
	}
}
