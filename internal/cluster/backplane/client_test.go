package backplane_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar/signalr"
)

// client is a SignalR client over long polling. It uses plain HTTP requests, so it needs no library and supports both protocols.
type client struct {
	t    *testing.T
	ctx  context.Context //nolint:containedctx // of the test
	url  string
	pack bool
	came []byte
	conn *signalr.Conn // its connection at the server
}

func (n *node) dial(ctx context.Context, protocol, user string) *client {
	n.t.Helper()
	c := &client{t: n.t, ctx: ctx, url: n.web.URL + "/negotiate?negotiateVersion=1&user=" + user, pack: protocol == "messagepack"}
	var offer struct{ ConnectionToken string }
	if err := json.Unmarshal(c.do("POST", nil), &offer); err != nil {
		n.t.Fatal(err)
	}
	c.url = n.web.URL + "/?user=" + user + "&id=" + offer.ConnectionToken
	c.do("GET", nil) // the first poll opens the connection
	c.do("POST", []byte(`{"protocol":"`+protocol+`","version":1}`+"\x1e"))
	c.until("the handshake", "{}\x1e")
	select {
	case c.conn = <-n.met:
	case <-ctx.Done():
		n.t.Fatal("the server has not met the client")
	}
	return c
}

func (c *client) do(method string, body []byte) []byte {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.ctx, method, c.url, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		c.t.Fatalf("%s: %d %s %v", method, resp.StatusCode, b, err)
	}
	return b
}

// until polls until the expected text arrives, and returns everything up to it.
func (c *client) until(what, mark string) string {
	c.t.Helper()
	for {
		if i := bytes.Index(c.came, []byte(mark)); i >= 0 {
			got := string(c.came[:i+len(mark)])
			c.came = c.came[i+len(mark):]
			return got
		}
		if c.ctx.Err() != nil {
			c.t.Fatalf("not in time: %s; came %q", what, c.came)
		}
		c.came = append(c.came, c.do("GET", nil)...)
	}
}

// methods returns the invocations of a JSON client up to the method last.
func (c *client) methods(last string) (methods []string) {
	c.t.Helper()
	for len(methods) == 0 || methods[len(methods)-1] != last {
		var m struct{ Target string }
		if err := json.Unmarshal([]byte(strings.TrimSuffix(c.until(last, "\x1e"), "\x1e")), &m); err != nil {
			c.t.Fatal(err)
		}
		if m.Target != "" { // or it is a ping
			methods = append(methods, m.Target)
		}
	}
	return methods
}

// asked returns the id of an invocation that expects a result.
func (c *client) asked(method string) string {
	c.t.Helper()
	if c.pack { // length, [1, {}, id, method, …
		got := c.until(method, method)
		i := strings.LastIndex(got, "\x01\x80") + 2
		return got[i+1 : i+1+int(got[i]&0x1f)]
	}
	got := c.until(method, `"target":"`+method+`"`)
	_, id, _ := strings.Cut(got[strings.LastIndex(got, `"invocationId"`):], `:"`)
	id, _, _ = strings.Cut(id, `"`)
	c.until("its end", "\x1e")
	return id
}

// result sends the result of an invocation; value is encoded.
func (c *client) result(id, value string) {
	c.t.Helper()
	if !c.pack {
		c.do("POST", []byte(`{"type":3,"invocationId":"`+id+`","result":`+value+"}\x1e"))
		return
	}
	b := append([]byte{0x95, 3, 0x80, 0xa0 | byte(len(id))}, id...)
	b = append(append(b, 3), value...)
	c.do("POST", append([]byte{byte(len(b))}, b...))
}
