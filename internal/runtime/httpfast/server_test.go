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

// rig is a server on a listener of our own poller, and what it has told.
type rig struct {
	t       *testing.T
	server  *Server
	addr    string
	open    atomic.Int64 // connections, by ConnState
	beyond  atomic.Int64 // calls that net/http has answered
	log     strings.Builder
	stopped chan error
}

type inHTTP struct{}

// newRig serves calls below /fast here.
func newRig(t *testing.T, h http.Handler, change ...func(*http.Server)) *rig {
	t.Helper()
	return newPreparedRig(t, h, func(*Server) {}, change...)
}

// newPreparedRig is newRig with a server that prepare has changed before it serves.
func newPreparedRig(t *testing.T, h http.Handler, prepare func(*Server), change ...func(*http.Server)) *rig {
	t.Helper()
	r := &rig{t: t, stopped: make(chan error, 1)}
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
				r.beyond.Add(1)
			}
			h.ServeHTTP(w, req)
		}),
		ConnContext: func(ctx context.Context, nc net.Conn) context.Context {
			_, polled := nc.(watched)
			if _, given := nc.(*begun); polled && !given {
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
		for r.open.Load() != 0 { // net/http may tell of the last ones when it has stopped
			runtime.Gosched()
		}
	})
	return r
}

func (r *rig) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := r.server.Shutdown(ctx)
	if served := <-r.stopped; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	r.stopped <- http.ErrServerClosed // for the next
	return err
}

func (r *rig) dial() *net.TCPConn {
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

// told is an answer as tests look at it.
type told struct {
	status int
	header http.Header
	body   string
	last   bool // no other follows on the connection
}

func answer(t *testing.T, from *bufio.Reader) (told, error) {
	t.Helper()
	resp, err := http.ReadResponse(from, nil)
	if err != nil {
		return told{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return told{resp.StatusCode, resp.Header, string(body), resp.Close}, err
}

// mirror answers what it was asked.
func mirror(w http.ResponseWriter, r *http.Request) {
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

// TestItAnswersAsNetHTTP: the same octets get the same answers.
func TestItAnswersAsNetHTTP(t *testing.T) {
	t.Parallel()
	web := &http.Server{Handler: http.HandlerFunc(mirror), ReadHeaderTimeout: time.Minute}
	plainListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- web.Serve(plainListener) }()
	t.Cleanup(func() { _ = web.Close(); <-served })
	r := newRig(t, http.HandlerFunc(mirror))
	talks := map[string]string{
		"one":                     post("/fast", "hello"),
		"no body":                 post("/fast", ""),
		"many at once":            post("/fast", "1") + get + post("/fast/b", "2") + get,
		"other heads":             post("/fast", "1") + strings.Replace(get, "Host: a", "Host: a\r\nA: b\r\nC: d", 1) + get + strings.Replace(get, "Host: a", "Host: b\r\nA: c\r\nC: d", 1),
		"one that is not taken":   post("/fast", "1") + post("/slow", "2") + post("/fast", "3"),
		"a body that is not read": post("/fast/unread", "GET /fast HTTP/1.1\r\nHost: smuggled\r\n\r\n") + get,
		"a long one, not read":    post("/fast/unread", strings.Repeat("a", 40<<10)) + get,
		"a long one":              post("/fast", strings.Repeat("a", 40<<10)) + get,
		"longer than is plain":    post("/fast", strings.Repeat("a", maxPlainBody+1)) + get,
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
	for i, text := range odd {
		talks[fmt.Sprint("odd ", i)] = text
		talks[fmt.Sprint("odd, later ", i)] = get + text
	}
	for name, text := range talks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := converse(t, plainListener.Addr().String(), text)
			if twoWays.MatchString(text) {
				if got := converse(t, r.addr, text); len(got) == 0 || got[len(got)-1].status != http.StatusBadRequest {
					t.Errorf("%.300q: %.900q, want 400 at last", text, fmt.Sprint(got))
				}
				return
			}
			if got := converse(t, r.addr, text); !slices.EqualFunc(got, want, func(a, b told) bool {
				return a.status == b.status && a.body == b.body && a.last == b.last && maps.EqualFunc(a.header, b.header, slices.Equal)
			}) {
				t.Errorf("%.300q:\n%.900q\nnet/http:\n%.900q", text, fmt.Sprint(got), fmt.Sprint(want))
			}
		})
	}
}

// twoWays are heads that net/http takes and that are refused here: another parser may read them in another way.
var twoWays = regexp.MustCompile(`(?i)content-length:[^\n]*\n(transfer-encoding|content-length):|transfer-encoding:[^\n]*\ncontent-length:|\r\n[ \t]|[^\r]\n`)

// converse sends text and gives what is answered until the end.
func converse(t *testing.T, addr, text string) (answers []told) {
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
			<-sent // what it could not send was not wanted
			return answers
		}
		a.header.Del("Date")
		a.header.Del("Content-Length") // it need not be told: the body is compared
		answers = append(answers, a)
	}
}

// piped is the server's end of a pipe: what is written at one end has been read at the other when the write returns.
type piped struct {
	net.Conn
	writeBy atomic.Pointer[time.Time]
}

func (*piped) OnEnd(func()) {}

// ReadOr waits: a pipe reads nothing where nothing was written.
func (p *piped) ReadOr(b []byte, _ *func()) (n int, err error) {
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

// pipe is a connection of the server, and the other end.
func (r *rig) pipe() (*piped, net.Conn) {
	c, end := net.Pipe()
	r.t.Cleanup(func() { _ = c.Close() }) // at the latest
	p := &piped{Conn: end}
	r.server.take(p)
	return p, c
}

// TestHeadsAndBodiesInPieces: wherever the octets are cut.
func TestHeadsAndBodiesInPieces(t *testing.T) {
	t.Parallel()
	r := newRig(t, http.HandlerFunc(mirror))
	_, c := r.pipe()
	reader := bufio.NewReader(c)
	text := post("/fast", "hello")
	for cut := range len(text) {
		send(t, c, text[:cut])
		send(t, c, text[cut:])
		if a, err := answer(t, reader); err != nil || a.status != http.StatusOK || !strings.Contains(a.body, `5 "hello" <nil>`) {
			t.Fatalf("cut at %d: %+v, %v", cut, a, err)
		}
	}
	if n := r.beyond.Load(); n != 0 {
		t.Errorf("%d calls went to net/http", n)
	}
}

// TestALineBehindABody: callers who send one, which no length counts, stay here wherever it is cut.
func TestALineBehindABody(t *testing.T) {
	t.Parallel()
	r := newRig(t, http.HandlerFunc(mirror))
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
	if n := r.beyond.Load(); n != 0 {
		t.Errorf("%d calls went to net/http", n)
	}
}

// TestManyCallers: every call gets its own answer, and none of them is net/http's.
func TestManyCallers(t *testing.T) {
	t.Parallel()
	r := newRig(t, http.HandlerFunc(mirror))
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
					t.Errorf("%.80q, %v; want %.80q", got, err, want)
				}
			}
		})
	}
	callers.Wait()
	if n := r.beyond.Load(); n != 0 {
		t.Errorf("%d calls went to net/http", n)
	}
}

// TestACallerWhoLeaves ends the context of the call, though nobody reads.
func TestACallerWhoLeaves(t *testing.T) {
	t.Parallel()
	begun, ended := make(chan struct{}), make(chan error, 1)
	r := newRig(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
		ended <- context.Cause(r.Context())
	}))
	c := r.dial()
	send(t, c, post("/fast", "hello"))
	<-begun
	if err := errors.Join(c.SetLinger(0), c.Close()); err != nil { // a reset: an end of sending alone is no end
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestAPanicEndsOneConnection, and is in the log; that of http.ErrAbortHandler is not.
func TestAPanicEndsOneConnection(t *testing.T) {
	t.Parallel()
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
			t.Errorf("%s: %v", path, err)
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

// TestShutdown: who waits for another call is let go, who works on one answers it and says that it was the last, who is new may still
// send its first, and nobody else is heard.
func TestShutdown(t *testing.T) {
	t.Parallel()
	begun, goOn := make(chan struct{}), make(chan struct{})
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			close(begun)
			<-goOn
		}
		_, _ = io.WriteString(w, "well")
	}))
	r.server.firstCall = time.Hour
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
		t.Errorf("the idle one: %v", err)
	}
	if c, err := net.Dial("tcp", r.addr); err == nil {
		t.Error("a new connection was taken")
		_ = c.Close()
	}
	close(goOn)
	send(t, fresh, get)
	for _, c := range []net.Conn{busy, fresh} {
		if a, err := answer(t, bufio.NewReader(c)); err != nil || a.body != "well" || !a.last {
			t.Errorf("%+v, %v", a, err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("behind the last answer: %v", err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestBehindTheLastAnswerTheBodyIsRead: what lies unread in a connection that is closed takes the answer with it.
func TestBehindTheLastAnswerTheBodyIsRead(t *testing.T) {
	t.Parallel()
	r := newRig(t, http.HandlerFunc(mirror))
	r.server.firstCall = time.Hour
	_, c := r.pipe()
	r.server.draining.Store(true)
	send(t, c, strings.TrimSuffix(post("/fast/unread", "hello"), "lo"))
	if a, err := answer(t, bufio.NewReader(c)); err != nil || a.status != http.StatusUnauthorized || !a.last {
		t.Errorf("%+v, %v", a, err)
	}
	send(t, c, "lo")
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("behind the body: %v", err)
	}
}

// TestShutdownThatIsNotWaitedFor closes what is left.
func TestShutdownThatIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	r := newRig(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done() // when its connection is closed
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
		t.Error("the connection lives")
	}
}

// TestLongAnswers: of a length that is announced, not copied; of one that is not, gathered.
func TestLongAnswers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789", 50<<10)
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
			t.Errorf("%s: %d, %d octets, %v", path, a.status, len(a.body), err)
		}
	}
}

// TestALongAnswerIsNotCopied: it goes out as the handler writes it.
func TestALongAnswerIsNotCopied(t *testing.T) {
	t.Parallel()
	var written atomic.Bool
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(2*keepAnswer))
		_, _ = w.Write(make([]byte, 2*keepAnswer))
		written.Store(true)
	}))
	_, c := r.pipe()
	send(t, c, get)
	reader := bufio.NewReader(c)
	if _, err := reader.Peek(1); err != nil || written.Load() {
		t.Errorf("written before it was read: %t, %v", written.Load(), err)
	}
	if a, err := answer(t, reader); err != nil || len(a.body) != 2*keepAnswer {
		t.Errorf("%d, %v", len(a.body), err)
	}
}

// TestNetHTTPGetsItWithoutDeadlines: a stream that follows a plain call may last.
func TestNetHTTPGetsItWithoutDeadlines(t *testing.T) {
	t.Parallel()
	r := newRig(t, http.HandlerFunc(mirror))
	ours, c := r.pipe()
	reader := bufio.NewReader(c)
	for _, text := range []string{get, strings.Replace(get, "/fast", "/stream", 1)} {
		send(t, c, text)
		if a, err := answer(t, reader); err != nil || a.status != http.StatusOK {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	if r.beyond.Load() != 1 || !ours.writeBy.Load().IsZero() {
		t.Errorf("%d calls of net/http; to be written by %v", r.beyond.Load(), ours.writeBy.Load())
	}
}

// TestAFieldIsOneLine, whatever the handler puts into it.
func TestAFieldIsOneLine(t *testing.T) {
	t.Parallel()
	r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", "a\r\nX-Injected: b")
	}))
	c := r.dial()
	send(t, c, get)
	a, err := answer(t, bufio.NewReader(c))
	if err != nil || a.header.Get("X-Injected") != "" || a.header.Get("Location") != "a  X-Injected: b" {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestTimesRunOut: for a first call, for the next, for half a body.
func TestTimesRunOut(t *testing.T) {
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
			r := newRig(t, http.HandlerFunc(mirror), func(s *http.Server) {
				s.ReadHeaderTimeout, s.ReadTimeout, s.IdleTimeout = time.Hour, time.Hour, time.Hour
			}, c.limit)
			conn := r.dial()
			send(t, conn, c.text)
			got, err := io.ReadAll(conn)
			if err != nil || name == "half a body" && !strings.Contains(string(got), "i/o timeout") {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// TestTheTimeOfHalfAHeadRunsOut, which is not that of a connection without a call.
func TestTheTimeOfHalfAHeadRunsOut(t *testing.T) {
	t.Parallel()
	r := newRig(t, http.HandlerFunc(mirror), func(s *http.Server) {
		s.ReadHeaderTimeout, s.IdleTimeout = time.Millisecond, time.Hour
	})
	for {
		c := r.dial()
		_, sent := io.WriteString(c, get)
		if _, err := answer(t, bufio.NewReader(c)); sent != nil || err != nil {
			continue // the first came too late as well
		}
		send(t, c, get[:10])
		if got, _ := io.ReadAll(c); len(got) > 0 { // a reset is an end as well
			t.Errorf("%q", got)
		}
		return
	}
}

// exchange sends a request whose answer is awaited, unless it is empty, and then the pieces. It ends the sending side and returns
// what comes for the pieces.
func (r *rig) exchange(before string, pieces ...string) string {
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
			break // it was refused already
		}
	}
	_ = c.(*net.TCPConn).CloseWrite() // as above
	text, _ := io.ReadAll(reader)     // a reset behind the answer is as good
	return string(text)
}

// awaitInputEnd gives the server time to hear that a peer sends no more: until a later connection was served twice.
func (r *rig) awaitInputEnd() {
	for range 2 {
		r.exchange("", "GET /unknown HTTP/1.1\r\nHost: plain\r\n\r\n")
	}
}
