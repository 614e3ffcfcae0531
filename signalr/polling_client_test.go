package signalr

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

// response is an HTTP answer that was read to its end.
type response struct {
	status int
	body   string
	header http.Header
}

// request sends a request of a connection's client.
func (h *harness) request(ctx context.Context, method, query, body string, header ...string) (response, error) {
	req, err := http.NewRequestWithContext(ctx, method, h.web.URL+"/hub"+query, strings.NewReader(body))
	if err != nil {
		return response{}, err
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return response{resp.StatusCode, string(b), resp.Header}, err
}

// fetcher is the client of one connection over HTTP requests.
type fetcher struct {
	h     *harness
	t     *testing.T
	query string
	rest  string // of the last answer, behind the hub messages already returned
}

// negotiated returns a client that has a token and nothing else.
func (h *harness) negotiated(query string) *fetcher {
	h.t.Helper()
	token := h.negotiate("?negotiateVersion=1" + query)["connectionToken"].(string)
	return &fetcher{h: h, t: h.t, query: "?id=" + token + query}
}

func (f *fetcher) do(method, body string, header ...string) response {
	f.t.Helper()
	a, err := f.h.request(context.Background(), method, f.query, body, header...)
	if err != nil {
		f.t.Fatalf("%s: %v", method, err)
	}
	return a
}

func (f *fetcher) want(a response, status int, body string) {
	f.t.Helper()
	if a.status != status || a.body != body {
		f.t.Fatalf("got %d %q, want %d %q", a.status, a.body, status, body)
	}
}

// post sends bytes of the hub stream.
func (f *fetcher) post(body string) {
	f.t.Helper()
	f.want(f.do("POST", body), 200, "")
}

func (f *fetcher) msg(messages ...string) {
	f.t.Helper()
	f.post(strings.Join(messages, "\x1e") + "\x1e")
}

// poll fetches on a goroutine, once the server has done with the poll before. A request that fails answers status 0.
func (f *fetcher) poll(ctx context.Context) <-chan response {
	f.t.Helper()
	f.h.until("the end of the poll before", f.h.polls().idle)
	return f.rival(ctx)
}

// rival is poll that does not wait.
func (f *fetcher) rival(ctx context.Context) <-chan response {
	c := make(chan response, 1)
	go func() {
		a, _ := f.h.request(ctx, "GET", f.query, "")
		c <- a
	}()
	return c
}

// expect polls for the next hub messages.
func (f *fetcher) expect(want ...string) {
	f.t.Helper()
	for _, w := range want {
		for f.rest == "" {
			a := f.do("GET", "")
			if a.status != 200 {
				f.t.Fatalf("poll: %d %q, want %s", a.status, a.body, w)
			}
			f.rest = a.body
		}
		got, rest, whole := strings.Cut(f.rest, "\x1e")
		f.rest = rest
		if !whole || got != w {
			f.t.Fatalf("got  %s\nwant %s", got, w)
		}
	}
}

// polling opens a connection over long polling, up to its handshake.
func (h *harness) polling() *fetcher {
	h.t.Helper()
	f := h.negotiated("")
	f.want(f.do("GET", ""), 200, "")
	return f
}

// pollDial opens one and shakes hands.
func (h *harness) pollDial() *fetcher {
	h.t.Helper()
	f := h.polling()
	f.post(hello)
	f.expect("{}")
	return f
}

// link returns the polls of the only connection.
func (h *harness) polls() *longPoll { return h.only().link.(*longPoll) }

// hanging waits until a poll hangs.
func (h *harness) hanging() {
	h.t.Helper()
	l := h.polls()
	h.until("a poll that hangs", func() bool {
		l.poll.Lock()
		defer l.poll.Unlock()
		return l.poll.current != nil && !l.poll.heir
	})
}

// listener is the client of one connection over Server-Sent Events.
type listener struct {
	*fetcher
	resp *http.Response
	r    *bufio.Reader
	stop context.CancelFunc
}

// listen opens the stream and reads its first comment.
func (f *fetcher) listen(header ...string) *listener {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, "GET", f.h.web.URL+"/hub"+f.query, http.NoBody)
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { resp.Body.Close() })
	l := &listener{fetcher: f, resp: resp, r: bufio.NewReader(resp.Body), stop: cancel}
	if resp.StatusCode == 200 {
		if line := l.line(); line != ":" {
			f.t.Fatalf("first line %q", line)
		}
	}
	return l
}

// line returns the next line of the stream, which must end with CR LF.
func (l *listener) line() string {
	l.t.Helper()
	line, err := l.r.ReadString('\n')
	if err != nil || !strings.HasSuffix(line, "\r\n") {
		l.t.Fatalf("line %q: %v", line, err)
	}
	return strings.TrimSuffix(line, "\r\n")
}

// event returns the data of the next event, as a browser gives it to the page.
func (l *listener) event() string {
	l.t.Helper()
	var lines []string
	for line := l.line(); line != ""; line = l.line() {
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			l.t.Fatalf("line %q", line)
		}
		lines = append(lines, data)
	}
	return strings.Join(lines, "\n")
}

// expect reads the next hub messages.
func (l *listener) expect(want ...string) {
	l.t.Helper()
	for _, w := range want {
		if l.rest == "" {
			l.rest = l.event()
		}
		got, rest, whole := strings.Cut(l.rest, "\x1e")
		l.rest = rest
		if !whole || got != w {
			l.t.Fatalf("got  %s\nwant %s", got, w)
		}
	}
}

// expectEnd reads the stream's end.
func (l *listener) expectEnd() {
	l.t.Helper()
	if b, err := io.ReadAll(l.r); err != nil || len(b) > 0 {
		l.t.Fatalf("%q %v", b, err)
	}
}

// listenDial opens a connection over Server-Sent Events and shakes hands.
func (h *harness) listenDial() *listener {
	h.t.Helper()
	l := h.negotiated("").listen()
	l.post(hello)
	l.expect("{}")
	return l
}
