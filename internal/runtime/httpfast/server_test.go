//go:build linux

package httpfast

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/runtime/netpoll"
)

// fixture is a server on a listener of package netpoll, with counters of its connections and requests.
type fixture struct {
	t         *testing.T
	server    *Server
	addr      string
	open      atomic.Int64 // connections, by ConnState
	fallbacks atomic.Int64 // requests served by net/http
	log       strings.Builder
	stopped   chan error
}

type inHTTP struct{}

// newFixture starts a server with the fast path for paths below /fast.
func newFixture(t *testing.T, h http.Handler, change ...func(*http.Server)) *fixture {
	t.Helper()
	return newFixtureWith(t, h, func(*Server) {}, change...)
}

// newFixtureWith is like newFixture, with a function that changes the server before it serves.
func newFixtureWith(t *testing.T, h http.Handler, prepare func(*Server), change ...func(*http.Server)) *fixture {
	t.Helper()
	r := &fixture{t: t, stopped: make(chan error, 1)}
	poller, err := netpoll.New()
	if err != nil {
		t.Fatal(err)
	}
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := poller.Listen(inner)
	if err != nil {
		t.Fatal(err)
	}
	r.addr = inner.Addr().String()
	web := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if req.Context().Value(inHTTP{}) != nil {
				r.fallbacks.Add(1)
			}
			h.ServeHTTP(w, req)
		}),
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			_, polled := nc.(notifyingConn)
			if _, given := nc.(*prereadConn); polled && !given {
				return ctx
			}
			return context.WithValue(ctx, inHTTP{}, true)
		},
		ReadHeaderTimeout: time.Minute, ReadTimeout: time.Minute, IdleTimeout: time.Minute,
		ErrorLog: log.New(&r.log, "", 0),
		ConnState: func(_ net.Conn, state http.ConnState) {
			r.open.Add(map[http.ConnState]int64{http.StateNew: 1, http.StateClosed: -1, http.StateHijacked: -1}[state])
		},
	}
	for _, f := range change {
		f(web)
	}
	r.server = New(web, func(_, path string) bool { return strings.HasPrefix(path, "/fast") })
	prepare(r.server)
	ctx, stop := context.WithCancel(context.Background())
	polled := make(chan error, 1)
	go func() { polled <- poller.Run(ctx) }()
	go func() { r.stopped <- r.server.Serve(listener) }()
	t.Cleanup(func() {
		if err := r.shutdown(); err != nil {
			t.Error(err)
		}
		stop()
		if err := <-polled; err != nil {
			t.Error(err)
		}
		for r.open.Load() != 0 { // net/http may report the last ones after it has stopped
			runtime.Gosched()
		}
	})
	return r
}

func (r *fixture) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := r.server.Shutdown(ctx)
	if served := <-r.stopped; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	r.stopped <- http.ErrServerClosed // for the next call
	return err
}

func (r *fixture) dial() *net.TCPConn {
	r.t.Helper()
	return dial(r.t, r.addr)
}

func dial(t *testing.T, addr string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // at the latest
	return c.(*net.TCPConn)
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// reply is a decoded response.
type reply struct {
	status int
	header http.Header
	body   string
	last   bool // the connection is closed after it
}

func answer(t *testing.T, from *bufio.Reader) (reply, error) {
	t.Helper()
	resp, err := http.ReadResponse(from, nil)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(body), resp.Close}, err
}

// echoRequest answers with a description of the request.
func echoRequest(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	if strings.HasSuffix(r.URL.Path, "/unread") {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(r.Body)
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s %d %q %v\n", r.Method, r.RequestURI, r.Host, r.ContentLength, body, err)
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		fmt.Fprintf(&b, "%s: %q\n", name, r.Header[name])
	}
	_, _ = io.WriteString(w, b.String())
}

func post(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

const get = "GET /fast HTTP/1.1\r\nHost: a\r\n\r\n"

// TestServer_AnyInput_AnswersAsNetHTTP sends the same bytes to the server and to net/http and compares the responses.
func TestServer_AnyInput_AnswersAsNetHTTP(t *testing.T) {
	t.Parallel()
	web := &http.Server{Handler: http.HandlerFunc(echoRequest), ReadHeaderTimeout: time.Minute}
	plainListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- web.Serve(plainListener) }()
	t.Cleanup(func() { _ = web.Close(); <-served })
	r := newFixture(t, http.HandlerFunc(echoRequest))
	talks := map[string]string{
		"one":                     post("/fast", "hello"),
		"no body":                 post("/fast", ""),
		"many at once":            post("/fast", "1") + get + post("/fast/b", "2") + get,
		"other heads":             post("/fast", "1") + strings.Replace(get, "Host: a", "Host: a\r\nA: b\r\nC: d", 1) + get + strings.Replace(get, "Host: a", "Host: b\r\nA: c\r\nC: d", 1),
		"one that is not taken":   post("/fast", "1") + post("/slow", "2") + post("/fast", "3"),
		"a body that is not read": post("/fast/unread", "GET /fast HTTP/1.1\r\nHost: smuggled\r\n\r\n") + get,
		"a long one, not read":    post("/fast/unread", strings.Repeat("a", 40<<10)) + get,
		"a long one":              post("/fast", strings.Repeat("a", 40<<10)) + get,
		"longer than is plain":    post("/fast", strings.Repeat("a", maxFastBody+1)) + get,
		"half a body":             "POST /fast HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
		"half a head":             get + "GET /fast HTTP/1.1\r\nHo",
		"nothing":                 "",
		"a long head":             get + strings.Replace(get, "Host: a", "Host: a\r\nX: "+strings.Repeat("a", 5000), 1),
		"chunks":                  "POST /fast HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + get,
		"smuggled":                "POST /fast HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + get,
		"an upgrade":              strings.Replace(get, "Host: a", "Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket", 1) + get,
		"the last":                strings.Replace(get, "Host: a", "Host: a\r\nConnection: close", 1) + get,
		"1.0":                     strings.Replace(get, "1.1", "1.0", 1),
		"HEAD":                    strings.Replace(get, "GET", "HEAD", 1) + get,
		"expects":                 "POST /fast HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na",
		"a line behind a body":    post("/fast", "1") + "\r\n" + get,
		"two lines behind a body": post("/fast", "1") + "\r\n\r\n" + get,
		"three of them":           post("/fast", "1") + "\r\n\r\n\r\n" + get,
		"and nothing else":        post("/fast", "1") + "\r\n",
		"and one that is not":     post("/fast", "1") + "\r\n" + strings.Replace(get, "GET", "HEAD", 1),
		"a line behind no body":   post("/fast", "1") + get + "\r\n" + get,
	}
	for i, text := range fallbackHeads {
		talks[fmt.Sprint("odd ", i)] = text
		talks[fmt.Sprint("odd, later ", i)] = get + text
	}
	for name, text := range talks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := converse(t, plainListener.Addr().String(), text)
			if ambiguous.MatchString(text) {
				if got := converse(t, r.addr, text); len(got) == 0 || got[len(got)-1].status != http.StatusBadRequest {
					t.Errorf("%.300q: got %.900q, want 400 as the last response", text, fmt.Sprint(got))
				}
				return
			}
			if got := converse(t, r.addr, text); !slices.EqualFunc(got, want, func(a, b reply) bool {
				return a.status == b.status && a.body == b.body && a.last == b.last && maps.EqualFunc(a.header, b.header, slices.Equal)
			}) {
				t.Errorf("%.300q:\ngot %.900q\nwant that of net/http: %.900q", text, fmt.Sprint(got), fmt.Sprint(want))
			}
		})
	}
}

// ambiguous matches heads that net/http accepts and this package refuses, because other parsers may interpret them
// differently.
var ambiguous = regexp.MustCompile(`(?i)content-length:[^\n]*\n(transfer-encoding|content-length):|transfer-encoding:[^\n]*\ncontent-length:|\r\n[ \t]|[^\r]\n`)

// converse sends text, closes the sending side, and returns all responses.
func converse(t *testing.T, addr, text string) []reply {
	var answers []reply
	t.Helper()
	c := dial(t, addr)
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(c, text)
		sent <- errors.Join(err, c.CloseWrite())
	}()
	reader := bufio.NewReader(c)
	for {
		a, err := answer(t, reader)
		if err != nil {
			<-sent // the server may have closed before it read everything
			return answers
		}
		a.header.Del("Date")
		a.header.Del("Content-Length") // not compared, because the body is
		answers = append(answers, a)
	}
}

// piped is the server's end of a net.Pipe. A write on a pipe returns only after the other end has read everything.
type piped struct {
	net.Conn
	writeBy atomic.Pointer[time.Time]
}

func (*piped) OnEnd(func()) {}

// ReadOrNotify implements notifyingConn. It blocks until something was written.
func (p *piped) ReadOrNotify(b []byte, _ *func()) (int, error) {
	var n int
	var err error
	for n == 0 && err == nil {
		n, err = p.Read(b)
	}
	return n, err
}

func (p *piped) SetWriteDeadline(t time.Time) error {
	p.writeBy.Store(&t)
	return p.Conn.SetWriteDeadline(t)
}

func (p *piped) SetDeadline(t time.Time) error {
	p.writeBy.Store(&t)
	return p.Conn.SetDeadline(t)
}

// pipe returns a connection that the server serves, and its other end.
func (r *fixture) pipe() (*piped, net.Conn) {
	c, end := net.Pipe()
	r.t.Cleanup(func() { _ = c.Close() }) // at the latest
	p := &piped{Conn: end}
	r.server.serveConn(p)
	return p, c
}

// TestServer_RequestInPieces_StaysOnFastPath splits a request at every offset.
func TestServer_RequestInPieces_StaysOnFastPath(t *testing.T) {
	t.Parallel()
	r := newFixture(t, http.HandlerFunc(echoRequest))
	_, c := r.pipe()
	reader := bufio.NewReader(c)
	text := post("/fast", "hello")
	for cut := range len(text) {
		send(t, c, text[:cut])
		send(t, c, text[cut:])
		if a, err := answer(t, reader); err != nil || a.status != http.StatusOK || !strings.Contains(a.body, `5 "hello" <nil>`) {
			t.Fatalf("split at %d: got %+v, %v; want 200 with the body", cut, a, err)
		}
	}
	if n := r.fallbacks.Load(); n != 0 {
		t.Errorf("got %d requests at net/http, want 0", n)
	}
}

// TestServer_LineBreakAfterBody_StaysOnFastPath sends a line break that Content-Length does not count, in different pieces.
func TestServer_LineBreakAfterBody_StaysOnFastPath(t *testing.T) {
	t.Parallel()
	r := newFixture(t, http.HandlerFunc(echoRequest))
	_, c := r.pipe()
	reader := bufio.NewReader(c)
	for _, pieces := range [][]string{{post("/fast", "1") + "\r\n", get}, {post("/fast", "1"), "\r\n" + get}, {post("/fast", "1"), "\r", "\n", get}} {
		answered := make(chan error, 1)
		go func() {
			_, first := answer(t, reader)
			_, second := answer(t, reader)
			answered <- errors.Join(first, second)
		}()
		for _, piece := range pieces {
			send(t, c, piece)
		}
		if err := <-answered; err != nil {
			t.Fatalf("%q: %v", pieces, err)
		}
	}
	if n := r.fallbacks.Load(); n != 0 {
		t.Errorf("got %d requests at net/http, want 0", n)
	}
}

// TestServer_ManyClients_GetTheirOwnAnswers checks that each request gets its own response, on the fast path.
func TestServer_ManyClients_GetTheirOwnAnswers(t *testing.T) {
	t.Parallel()
	r := newFixture(t, http.HandlerFunc(echoRequest))
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	defer client.CloseIdleConnections()
	var callers sync.WaitGroup
	for i := range 16 {
		callers.Go(func() {
			for j := range 100 {
				body := strings.Repeat(fmt.Sprint(i, ".", j, " "), 1+j*j/8)
				resp, err := client.Post(fmt.Sprintf("http://%s/fast/%d", r.addr, j), "text/plain", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if want := fmt.Sprintf("POST /fast/%d %s %d %q <nil>\n", j, r.addr, len(body), body); err != nil || !strings.HasPrefix(string(got), want) {
					t.Errorf("got %.80q, %v; want %.80q", got, err, want)
				}
			}
		})
	}
	callers.Wait()
	if n := r.fallbacks.Load(); n != 0 {
		t.Errorf("got %d requests at net/http, want 0", n)
	}
}

// TestServer_ClientDisconnects_CancelsContext resets a connection while its handler runs and no read is in progress.
func TestServer_ClientDisconnects_CancelsContext(t *testing.T) {
	t.Parallel()
	begun, ended := make(chan struct{}), make(chan error, 1)
	r := newFixture(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
	}))
	c := r.dial()
	send(t, c, post("/fast", "hello"))
	<-begun
	if err := errors.Join(c.SetLinger(0), c.Close()); err != nil { // a reset: closing the sending side alone does not cancel
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestServer_HandlerPanics_ClosesOneConnection also checks that a panic is logged unless it is http.ErrAbortHandler.
func TestServer_HandlerPanics_ClosesOneConnection(t *testing.T) {
	t.Parallel()
	r := newFixture(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/fast/panic":
			panic("gone wrong")
		case "/fast/abort":
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(w, "well")
	}))
	lives := r.dial()
	for _, path := range []string{"/fast/panic", "/fast/abort"} {
		c := r.dial()
		send(t, c, post(path, ""))
		if _, err := answer(t, bufio.NewReader(c)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: got %v, want %v", path, err, io.ErrUnexpectedEOF)
		}
	}
	send(t, lives, get)
	if a, err := answer(t, bufio.NewReader(lives)); err != nil || a.body != "well" {
		t.Errorf("%+v, %v", a, err)
	}
	if err := r.shutdown(); err != nil {
		t.Error(err)
	}
	if text := r.log.String(); strings.Count(text, "http: panic serving") != 1 || !strings.Contains(text, "gone wrong") {
		t.Error(text)
	}
}

// TestShutdown_OpenConnections_ServesThenCloses checks that a shutdown closes an idle connection, completes a request in
// progress, serves the first request of a new connection, both with Connection: close, and accepts no other connection.
func TestShutdown_OpenConnections_ServesThenCloses(t *testing.T) {
	t.Parallel()
	begun, goOn := make(chan struct{}), make(chan struct{})
	r := newFixture(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			close(begun)
			<-goOn
		}
		_, _ = io.WriteString(w, "well")
	}))
	r.server.firstRequestTimeout = time.Hour
	idle, busy, fresh := r.dial(), r.dial(), r.dial()
	reader := bufio.NewReader(idle)
	send(t, idle, get)
	if a, err := answer(t, reader); err != nil || a.last {
		t.Fatalf("%+v, %v", a, err)
	}
	send(t, busy, post("/fast", "hello"))
	<-begun
	for r.open.Load() < 3 {
		runtime.Gosched()
	}
	done := make(chan error, 1)
	go func() { done <- r.shutdown() }()
	if _, err := reader.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("idle connection: got %v, want io.EOF", err)
	}
	if c, err := net.Dial("tcp", r.addr); err == nil {
		t.Error("a new connection was accepted during the shutdown")
		_ = c.Close()
	}
	close(goOn)
	send(t, fresh, get)
	for _, c := range []net.Conn{busy, fresh} {
		if a, err := answer(t, bufio.NewReader(c)); err != nil || a.body != "well" || !a.last {
			t.Errorf("%+v, %v", a, err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("after the last response: got %v, want io.EOF", err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestShutdown_UnreadBody_IsReadBeforeClose checks that the server discards the rest of a body before it closes: closing with
// unread input resets the connection, and the client may lose the response.
func TestShutdown_UnreadBody_IsReadBeforeClose(t *testing.T) {
	t.Parallel()
	r := newFixture(t, http.HandlerFunc(echoRequest))
	r.server.firstRequestTimeout = time.Hour
	_, c := r.pipe()
	r.server.draining.Store(true)
	send(t, c, strings.TrimSuffix(post("/fast/unread", "hello"), "lo"))
	if a, err := answer(t, bufio.NewReader(c)); err != nil || a.status != http.StatusUnauthorized || !a.last {
		t.Errorf("%+v, %v", a, err)
	}
	send(t, c, "lo")
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("after the body: got %v, want io.EOF", err)
	}
}

// TestShutdown_ContextDone_ClosesConnections calls Shutdown with a cancelled context while a handler runs.
func TestShutdown_ContextDone_ClosesConnections(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	r := newFixture(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done() // until its connection is closed
	}))
	c := r.dial()
	send(t, c, post("/fast", "hello"))
	<-begun
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := r.server.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is open, want it closed")
	}
}

// TestResponse_LongBody_ArrivesWhole sends long bodies with and without Content-Length.
func TestResponse_LongBody_ArrivesWhole(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789", 50<<10)
	r := newFixture(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/fast/announced" {
			w.Header().Set("Content-Length", strconv.Itoa(len(long)))
		}
		w.WriteHeader(http.StatusAccepted)
		if n, err := io.WriteString(w, long); n != len(long) || err != nil {
			t.Error(n, err)
		}
	}))
	c := r.dial()
	reader := bufio.NewReader(c)
	for _, path := range []string{"/fast/announced", "/fast/gathered", "/fast/announced"} {
		send(t, c, post(path, ""))
		if a, err := answer(t, reader); err != nil || a.status != http.StatusAccepted || a.body != long {
			t.Errorf("%s: got %d with %d bytes, %v; want 202 with %d", path, a.status, len(a.body), err, len(long))
		}
	}
}

// TestResponse_LongBodyOfKnownLength_IsNotBuffered checks that the body is sent while the handler writes it.
func TestResponse_LongBodyOfKnownLength_IsNotBuffered(t *testing.T) {
	t.Parallel()
	var written atomic.Bool
	r := newFixture(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(2*maxBufferedBody))
		_, _ = w.Write(make([]byte, 2*maxBufferedBody))
		written.Store(true)
	}))
	_, c := r.pipe()
	send(t, c, get)
	reader := bufio.NewReader(c)
	if _, err := reader.Peek(1); err != nil || written.Load() {
		t.Errorf("got the write returned %t, %v; want it blocked until the client reads", written.Load(), err)
	}
	if a, err := answer(t, reader); err != nil || len(a.body) != 2*maxBufferedBody {
		t.Errorf("got %d bytes, %v; want %d", len(a.body), err, 2*maxBufferedBody)
	}
}

// TestFallback_AfterFastRequest_HasNoDeadline checks that a connection goes to net/http without write deadline, for streams.
func TestFallback_AfterFastRequest_HasNoDeadline(t *testing.T) {
	t.Parallel()
	r := newFixture(t, http.HandlerFunc(echoRequest))
	ours, c := r.pipe()
	reader := bufio.NewReader(c)
	for _, text := range []string{get, strings.Replace(get, "/fast", "/stream", 1)} {
		send(t, c, text)
		if a, err := answer(t, reader); err != nil || a.status != http.StatusOK {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	if r.fallbacks.Load() != 1 || !ours.writeBy.Load().IsZero() {
		t.Errorf("%d calls of net/http; to be written by %v", r.fallbacks.Load(), ours.writeBy.Load())
	}
}

// TestResponse_LineBreakInField_IsReplaced checks that a handler cannot inject a field.
func TestResponse_LineBreakInField_IsReplaced(t *testing.T) {
	t.Parallel()
	r := newFixture(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "a\r\nX-Injected: b")
	}))
	c := r.dial()
	send(t, c, get)
	a, err := answer(t, bufio.NewReader(c))
	if err != nil || a.header.Get("X-Injected") != "" || a.header.Get("Location") != "a  X-Injected: b" {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestServer_Timeouts_CloseConnection checks the timeouts for a first request, the next request, and a partial body.
func TestServer_Timeouts_CloseConnection(t *testing.T) {
	t.Parallel()
	const short = time.Millisecond
	for name, c := range map[string]struct {
		text  string
		limit func(*http.Server)
	}{
		"a first call": {"", func(s *http.Server) { s.ReadHeaderTimeout = short }},
		"another call": {get, func(s *http.Server) { s.IdleTimeout = short }},
		"half a body":  {strings.TrimSuffix(post("/fast", "hello"), "lo"), func(s *http.Server) { s.ReadTimeout = short }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newFixture(t, http.HandlerFunc(echoRequest), func(s *http.Server) {
				s.ReadHeaderTimeout, s.ReadTimeout, s.IdleTimeout = time.Hour, time.Hour, time.Hour
			}, c.limit)
			conn := r.dial()
			send(t, conn, c.text)
			got, err := io.ReadAll(conn)
			if err != nil || name == "half a body" && !strings.Contains(string(got), "i/o timeout") {
				t.Errorf("got %q, %v; want a closed connection", got, err)
			}
		})
	}
}

// TestServer_PartialHead_TimesOut checks that ReadHeaderTimeout, not IdleTimeout, applies to a partial head.
func TestServer_PartialHead_TimesOut(t *testing.T) {
	t.Parallel()
	r := newFixture(t, http.HandlerFunc(echoRequest), func(s *http.Server) {
		s.ReadHeaderTimeout, s.IdleTimeout = time.Millisecond, time.Hour
	})
	for {
		c := r.dial()
		_, sent := io.WriteString(c, get)
		if _, err := answer(t, bufio.NewReader(c)); sent != nil || err != nil {
			continue // the first request timed out, too: try again
		}
		send(t, c, get[:10])
		if got, _ := io.ReadAll(c); len(got) > 0 { // a reset is as good as an end
			t.Errorf("got %q, want no response", got)
		}
		return
	}
}

// exchange sends the request before and reads its response, unless before is empty. Then it sends the pieces, closes the
// sending side, and returns the responses to the pieces.
func (r *fixture) exchange(before string, pieces ...string) string {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.Close()
	reader := bufio.NewReader(c)
	if before != "" {
		send(r.t, c, before)
		if a, err := answer(r.t, reader); err != nil || a.status != http.StatusOK {
			r.t.Fatalf("before: %+v, %v", a, err)
		}
	}
	for _, piece := range pieces {
		if _, err := io.WriteString(c, piece); err != nil {
			break // the server has closed the connection already
		}
	}
	_ = c.(*net.TCPConn).CloseWrite() // as above
	text, _ := io.ReadAll(reader)     // a reset after the response is as good
	return string(text)
}

// awaitInputEnd gives the server time to notice that a peer has closed its sending side: it serves two later connections.
func (r *fixture) awaitInputEnd() {
	for range 2 {
		r.exchange("", "GET /unknown HTTP/1.1\r\nHost: plain\r\n\r\n")
	}
}
