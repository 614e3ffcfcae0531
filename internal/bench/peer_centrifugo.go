package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar/internal/signalrclient"
)

// centrifugo is Centrifugo with its memory engine: a call publishes to the personal channel of a phone. Nothing is stored,
// acknowledged or ordered. Its clients use the JSON protocol over WebSockets.
type centrifugo struct{ *proxy }

// centrifugoSecret signs the tokens of the clients, and is the key of the API. The server is on loopback and lives for a run.
const centrifugoSecret = "bench-bench-bench-bench-bench-32"

func startCentrifugo(ctx context.Context) (messenger, error) {
	p, path, err := newProxy("Centrifugo", "config.json", func(addr, _ string) string {
		host, port, _ := strings.Cut(addr, ":")
		return fmt.Sprintf(`{
  "http_server": {"address": %[1]q, "port": %[2]s},
  "log": {"level": "error"},
  "health": {"enabled": true},
  "http_api": {"key": %[3]q},
  "client": {"token": {"hmac_secret_key": %[3]q}, "subscribe_to_user_personal_channel": {"enabled": true}},
  "channel": {"without_namespace": {"allow_user_limited_channels": true}}
}`, host, port, centrifugoSecret)
	})
	if err != nil {
		return nil, err
	}
	p.ready = "/health"
	p, err = startProxy(ctx, p, "centrifugo", "-c", path)
	if err != nil {
		return nil, err
	}
	return &centrifugo{p}, nil
}

func (c *centrifugo) format() *callFormat {
	return &callFormat{
		path: "/api/publish", authorization: "X-API-Key: " + centrifugoSecret,
		before: `{"channel":"#`, between: `","data":{"messageContent":"`, after: `"}}`, answer: `"result"`,
	}
}

func (c *centrifugo) addr() string           { return c.proxy.addr }
func (c *centrifugo) memory() (int64, error) { return rssOf(c.cmd.Process.Pid) }
func (c *centrifugo) close() error           { return c.stop() }

func (c *centrifugo) connect(ctx context.Context, count int, l *ledger) (func(), error) {
	conns := make([]*signalrclient.Conn, count)
	var readers sync.WaitGroup
	disconnect := func() {
		for _, conn := range conns {
			if conn != nil {
				_ = conn.Vanish()
			}
		}
		readers.Wait()
	}
	var group errgroup.Group
	group.SetLimit(32)
	for i := range conns {
		group.Go(func() (err error) {
			conns[i], err = c.dial(ctx, recipientOf(i))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		disconnect()
		return nil, fmt.Errorf("connect clients of Centrifugo: %w", err)
	}
	for _, conn := range conns {
		readers.Go(func() { readCentrifugo(conn, l) })
	}
	return disconnect, nil
}

// dial connects a client and waits for the answer to its connect command.
func (c *centrifugo) dial(ctx context.Context, recipient uint64) (*signalrclient.Conn, error) {
	claims := jwt.MapClaims{"sub": strconv.FormatUint(recipient, 10), "exp": time.Now().Add(time.Hour).Unix()}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(centrifugoSecret))
	if err != nil {
		return nil, err
	}
	conn, err := signalrclient.DialWebSocket(ctx, signalrclient.Config{URL: "http://" + c.proxy.addr, Path: "/connection/websocket", Buffer: 1024})
	if err != nil {
		return nil, err
	}
	if err := conn.SendText([]byte(`{"id":1,"connect":{"token":"` + token + `"}}`)); err != nil {
		return nil, err
	}
	text, err := conn.Text()
	if err != nil {
		return nil, err
	}
	var answer struct {
		Connect *struct{ Subs map[string]json.RawMessage }
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Connect == nil || len(answer.Connect.Subs) != 1 {
		return nil, fmt.Errorf("connect to Centrifugo: answered %.200q, want one subscription", text)
	}
	return conn, nil
}

var centrifugoPing, centrifugoContent = []byte("{}"), []byte(`"messageContent":"`)

// readCentrifugo records what arrives until the connection ends. Several replies in one WebSocket message are separated by
// newlines.
func readCentrifugo(conn *signalrclient.Conn, l *ledger) {
	for {
		text, err := conn.Text()
		if err != nil {
			return // the ledger shows what a lost client missed
		}
		for line := range bytes.SplitSeq(text, []byte{'\n'}) {
			if bytes.Equal(line, centrifugoPing) {
				_ = conn.SendText(centrifugoPing) // the reader detects a broken connection
				continue
			}
			if at := bytes.Index(line, centrifugoContent); at >= 0 {
				start := at + len(centrifugoContent)
				l.arrived(numberOf(string(line[start:min(len(line), start+minSize)])))
			}
		}
	}
}
