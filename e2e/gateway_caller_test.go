package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// startGateway starts a gateway. The result is used like a node.
func startGateway(t *testing.T, secrets nodeproc.Secrets, flags ...string) *platform {
	t.Helper()
	return gatewayOf(t, secrets, "", append(flags, "--forward-admin"))
}

// startGatewayUnready is startGateway, for one that has no nodes yet.
func startGatewayUnready(t *testing.T, secrets nodeproc.Secrets, flags ...string) *platform {
	t.Helper()
	return gatewayOf(t, secrets, "/livez", flags)
}

func gatewayOf(t *testing.T, secrets nodeproc.Secrets, until string, flags []string) *platform {
	t.Helper()
	if slices.Contains(flags, "--redis-url") && !slices.Contains(flags, "--nodes") { // else the nodes are asked
		flags = append(flags, "--cluster-keys", strings.Join(secrets.ClusterKeys, ","))
	}
	node := awaitProcess(t, nodeproc.Config{Binary: binary, Command: "gateway", Until: until, Flags: append(flags, "--drain-notice", "200ms")})
	t.Cleanup(func() { _ = node.Kill() }) // it may be dead already
	return &platform{t: t, node: node, secrets: secrets}
}

// caller is a business with one keep-alive connection, which it opens again when the gateway closes it.
type caller struct {
	addr, key string
	conn      net.Conn
	in        *bufio.Reader
}

// reply is the answer to a call.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// call sends a message, with an idempotency key if it is not empty. It never sends it again.
func (c *caller) call(phone, text, idempotency string) (reply, error) {
	var r reply
	var err error
	if c.conn == nil {
		conn, err := net.Dial("tcp", c.addr)
		if err != nil {
			return r, err
		}
		c.conn = conn
		c.in = bufio.NewReaderSize(c.conn, 1<<10)
	}
	body := fmt.Sprintf(`{"recipientPhoneNumber":%q,"messageContent":%q}`, phone, text)
	var request strings.Builder
	fmt.Fprintf(&request, "POST /v1/messages HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n",
		c.addr, c.key, len(body))
	if idempotency != "" {
		fmt.Fprintf(&request, "Idempotency-Key: %s\r\n", idempotency)
	}
	request.WriteString("\r\n" + body)
	if r, err = c.exchange(request.String()); err != nil {
		c.close()
	}
	return r, err
}

func (c *caller) exchange(request string) (reply, error) {
	var r reply
	if err := c.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return r, err
	}
	if _, err := io.WriteString(c.conn, request); err != nil {
		return r, err
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return r, err
	}
	r = reply{status: resp.StatusCode, header: resp.Header}
	r.body, err = io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.Close {
		c.close()
	}
	return r, err
}

func (c *caller) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// callers is a group of concurrent callers.
type callers struct {
	t       *testing.T
	gateway *platform
	size    int
	keyed   bool

	mu    sync.Mutex
	took  []time.Duration // of the good calls
	good  atomic.Int64
	bad   atomic.Int64
	first atomic.Value // the first bad call, in words
}

// run makes all callers call until enough returns true, and waits for the last answers.
func (c *callers) run(enough func(calls int64) bool) {
	c.t.Helper()
	var all sync.WaitGroup
	var next atomic.Int64
	addr := strings.TrimPrefix(c.gateway.node.URL, "http://")
	for range c.size {
		all.Go(func() {
			who := caller{addr: addr, key: c.gateway.secrets.APIKey}
			defer who.close()
			for n := next.Add(1); !enough(n); n = next.Add(1) {
				c.one(&who, n)
			}
		})
	}
	all.Wait()
}

func (c *callers) one(who *caller, n int64) {
	key := ""
	if c.keyed {
		key = fmt.Sprint("call-", n)
	}
	began := time.Now()
	got, err := who.call(fmt.Sprintf("+96777%07d", n%5000), fmt.Sprint("call ", n), key)
	if err != nil || got.status != http.StatusAccepted {
		c.bad.Add(1)
		c.first.CompareAndSwap(nil, fmt.Sprintf("call %d: %d %v", n, got.status, err))
		return
	}
	c.good.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.took = append(c.took, time.Since(began))
}

// noneFailed fails the test if a call failed.
func (c *callers) noneFailed(when string) {
	c.t.Helper()
	if n := c.bad.Load(); n > 0 {
		c.t.Errorf("%s: %d of %d calls failed; first %v\n%s", when, n, n+c.good.Load(), c.first.Load(), c.gateway.node.Stderr)
	}
}

// accepted returns the number of single calls that a node has answered 202.
func (p *platform) accepted() float64 {
	p.t.Helper()
	return p.metricOr(`esh3ar_http_request_seconds_count{route="/v1/messages",status="202"}`, 0)
}
