package signalr

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

func TestLongPolling(t *testing.T) {
	t.Attr("checklist", "item54")
	hub, gone := echoHub()
	On0(hub, "Abort", func(c *Call) error { c.Conn().Abort(); return nil })
	h := start(t, hub, quiet())
	ask, answered := echo(1)

	headers := func(t *testing.T, a response) {
		t.Helper()
		for name, want := range map[string]string{
			"Cache-Control": "no-cache, no-store", "Pragma": "no-cache", "Expires": "Thu, 01 Jan 1970 00:00:00 GMT",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
	}
	end := func(t *testing.T, f *fetcher) {
		t.Helper()
		f.want(f.do("DELETE", ""), 202, "")
		if err := await(t, gone, "OnDisconnected"); err != nil {
			t.Error(err)
		}
		h.gone()
	}

	t.Run("item51 the first request returns at once", func(t *testing.T) {
		f := h.negotiated("")
		a := f.do("GET", "")
		f.want(a, 200, "")
		if a.header.Get("Content-Type") != "application/octet-stream" || a.header.Get("Content-Length") != "0" {
			t.Errorf("%v", a.header)
		}
		headers(t, a)
		f.post(hello)
		f.expect("{}")
		if name := h.only().Transport(); name != "LongPolling" {
			t.Error(name)
		}
		end(t, f)
	})
	t.Run("item52 the next hang until data, at most 90 s", func(t *testing.T) {
		f := h.pollDial()
		hung := f.poll(context.Background())
		h.hanging()
		h.pass(89 * time.Second)
		if len(hung) > 0 {
			t.Fatal("too early")
		}
		h.pass(time.Second)
		a := await(t, hung, "the poll's end")
		f.want(a, 200, "")
		headers(t, a)
		end(t, f)
	})
	t.Run("item53 data is whole messages one after the other", func(t *testing.T) {
		f := h.pollDial()
		hung := f.poll(context.Background())
		h.hanging()
		if err := h.only().TrySend("now"); err != nil {
			t.Fatal(err)
		}
		a := await(t, hung, "data")
		f.want(a, 200, `{"type":1,"target":"now","arguments":[]}`+"\x1e")
		if a.header.Get("Content-Type") != "application/octet-stream" || a.header.Get("Content-Length") != "41" {
			t.Errorf("%v", a.header)
		}
		headers(t, a)
		for range 3 { // while nobody polls
			if err := h.only().TrySend("later"); err != nil {
				t.Fatal(err)
			}
		}
		f.want(f.do("GET", ""), 200, strings.Repeat(`{"type":1,"target":"later","arguments":[]}`+"\x1e", 3))
		end(t, f)
	})
	t.Run("item55 a new poll takes over from the one that hangs", func(t *testing.T) {
		f := h.pollDial()
		old := f.poll(context.Background())
		h.hanging()
		hung := f.rival(context.Background())
		a := await(t, old, "the end of the old one")
		f.want(a, 204, "")
		headers(t, a)
		h.hanging()
		f.msg(ask)
		f.want(await(t, hung, "data"), 200, answered+"\x1e")
		end(t, f)
	})
	t.Run("item55 of two rivals the loser is refused", func(t *testing.T) {
		f := h.pollDial()
		l := h.polls()
		h.until("the end of the poll before", l.idle)
		// A poll that takes its time to answer: the test holds it.
		slow := &poll{wake: make(chan struct{}, 1), done: make(chan struct{}), rc: http.NewResponseController(nil)}
		if status := l.enter(context.Background(), slow); status != 0 {
			t.Fatal(status)
		}
		first := f.rival(context.Background())
		h.until("the first waits", func() bool { l.poll.Lock(); defer l.poll.Unlock(); return l.poll.heir })
		f.want(f.do("GET", ""), 409, "Connection is already active")
		if l.reason(slow) != pollSuperseded {
			t.Error("the slow one was not asked to end")
		}
		l.leave(slow)
		h.hanging()
		f.msg(ask)
		f.want(await(t, first, "data"), 200, answered+"\x1e")
		end(t, f)
	})
	t.Run("item55 a rival that goes while it waits changes nothing", func(t *testing.T) {
		f := h.pollDial()
		l := h.polls()
		h.until("the end of the poll before", l.idle)
		slow := &poll{wake: make(chan struct{}, 1), done: make(chan struct{}), rc: http.NewResponseController(nil)}
		l.enter(context.Background(), slow)
		ctx, cancel := context.WithCancel(context.Background())
		first := f.rival(ctx)
		h.until("the first waits", func() bool { l.poll.Lock(); defer l.poll.Unlock(); return l.poll.heir })
		cancel()
		await(t, first, "its end")
		h.until("it is forgotten", func() bool { l.poll.Lock(); defer l.poll.Unlock(); return !l.poll.heir })
		l.leave(slow)
		f.msg(ask)
		f.expect(answered)
		end(t, f)
	})
	t.Run("item56 what waits is delivered, then 204, then 404", func(t *testing.T) {
		f := h.pollDial()
		f.msg(ask, `{"type":1,"target":"Abort","arguments":[]}`)
		await(t, gone, "OnDisconnected")
		f.want(f.do("GET", ""), 200, answered+"\x1e"+`{"type":7}`+"\x1e")
		a := f.do("GET", "")
		f.want(a, 204, "")
		headers(t, a)
		h.gone()
		f.want(f.do("GET", ""), 404, noConnection)
	})
	t.Run("item56 a poll that hangs gets the Close", func(t *testing.T) {
		f := h.pollDial()
		hung := f.poll(context.Background())
		h.hanging()
		h.only().Close("bye", true)
		f.want(await(t, hung, "Close"), 200, `{"type":7,"error":"bye","allowReconnect":true}`+"\x1e")
		f.want(f.do("GET", ""), 204, "")
		await(t, gone, "OnDisconnected")
		h.gone()
	})
	t.Run("item56 item41 an unfetched Close", func(t *testing.T) {
		h.pollDial()
		h.only().Abort()
		await(t, gone, "OnDisconnected")
		h.passStuck(5 * time.Second)
		h.gone()
	})
	t.Run("item57 DELETE ends the poll that hangs", func(t *testing.T) {
		f := h.pollDial()
		hung := f.poll(context.Background())
		h.hanging()
		a := f.do("DELETE", "")
		f.want(a, 202, "")
		if a.header.Get("Content-Type") != "text/plain" {
			t.Errorf("%v", a.header)
		}
		f.want(await(t, hung, "the poll's end"), 204, "")
		if err := await(t, gone, "OnDisconnected"); err != nil {
			t.Error(err)
		}
		f.want(f.do("DELETE", ""), 404, noConnection)
		f.want(f.do("POST", "x"), 404, noConnection)
		f.want(f.do("GET", ""), 404, noConnection)
		h.gone()
	})
	t.Run("item57 once it is terminated nothing of it is left, while a handler still runs", func(t *testing.T) {
		leave := make(chan struct{})
		hub, gone := echoHub()
		On0(hub, "Wait", func(*Call) error { <-leave; return nil })
		h := start(t, hub, quiet())
		f := h.pollDial()
		f.msg(`{"type":1,"target":"Wait","arguments":[]}`)
		f.want(f.do("DELETE", ""), 202, "")
		for _, method := range []string{"DELETE", "POST", "GET"} {
			f.want(f.do(method, "x"), 404, noConnection)
		}
		close(leave)
		await(t, gone, "OnDisconnected")
	})
	t.Run("item57 what was posted before DELETE is dispatched", func(t *testing.T) {
		ran := make(chan struct{}, 100)
		hub, gone := echoHub()
		On0(hub, "Count", func(*Call) error { ran <- struct{}{}; return nil })
		h := start(t, hub, quiet())
		f := h.pollDial()
		f.msg(strings.Repeat(`{"type":1,"target":"Count","arguments":[]}`+"\x1e", 49) + `{"type":1,"target":"Count","arguments":[]}`)
		f.want(f.do("DELETE", ""), 202, "")
		await(t, gone, "OnDisconnected")
		if len(ran) != 50 {
			t.Errorf("%d of 50", len(ran))
		}
	})
	t.Run("item58 no poll for 15 s", func(t *testing.T) {
		f := h.pollDial()
		before := h.Stats().EndedTimeout
		h.pass(14 * time.Second)
		hung := f.poll(context.Background())
		h.hanging()
		h.pass(40 * time.Second) // a poll that hangs is a sign of life
		if err := h.only().TrySend("x"); err != nil {
			t.Fatal(err)
		}
		await(t, hung, "data")
		conn := h.only()
		h.until("the poll's end", func() bool { return h.polls().idle() })
		h.pass(14 * time.Second)
		if conn.life.phase.Load() != phaseOpen {
			t.Error("too early")
		}
		h.pass(time.Second)
		if err := await(t, gone, "OnDisconnected"); err != nil {
			t.Error(err)
		}
		h.gone()
		if h.Stats().EndedTimeout != before+1 || !conn.EndedByClient() {
			t.Errorf("%+v", h.Stats())
		}
		f.want(f.do("GET", ""), 404, noConnection)
	})
	t.Run("item59 no pings, no ping timeout, and bytes that wait are no stall", func(t *testing.T) {
		f := h.pollDial()
		f.msg(`{"type":6}`)
		hung := f.poll(context.Background())
		h.hanging()
		h.pass(80 * time.Second)
		if len(hung) > 0 {
			t.Fatalf("poll was answered: %+v", <-hung)
		}
		if err := h.only().TrySend("x"); err != nil {
			t.Fatal(err)
		}
		await(t, hung, "data")
		h.until("the poll's end", func() bool { return h.polls().idle() })
		if err := h.only().TrySend("y"); err != nil {
			t.Fatal(err)
		}
		h.passStuck(14 * time.Second) // longer than a write may stall
		f.want(f.do("GET", ""), 200, `{"type":1,"target":"y","arguments":[]}`+"\x1e")
		end(t, f)
	})
	t.Run("item60 the cache buster is ignored", func(t *testing.T) {
		f := h.pollDial()
		f.query += "&_=1700000000000"
		f.msg(ask)
		f.expect(answered)
		end(t, f)
	})
	t.Run("item71 handshake that does not come", func(t *testing.T) {
		f := h.polling()
		hung := f.poll(context.Background())
		h.hanging()
		h.pass(15 * time.Second)
		f.want(await(t, hung, "refusal"), 200, `{"error":"Handshake was canceled."}`+"\x1e")
		f.want(f.do("GET", ""), 204, "")
		h.gone()
	})
	t.Run("item42 a client that breaks off a poll may come again", func(t *testing.T) {
		f := h.pollDial()
		ctx, cancel := context.WithCancel(context.Background())
		hung := f.poll(ctx)
		h.hanging()
		cancel()
		await(t, hung, "the end")
		h.until("the server knows", func() bool { return h.polls().idle() })
		f.msg(ask)
		f.expect(answered)
		end(t, f)
	})
}

// unflushable is the answer to a client that took none of it in time.
type unflushable struct{ *httptest.ResponseRecorder }

func (unflushable) FlushError() error { return os.ErrDeadlineExceeded }

// TestLongPolling_AnswerNotRead_ConnectionEnds ends its connection: what was in the answer cannot be asked for again, and the client's next poll would
// wait behind it as if it had come.
func TestLongPolling_AnswerNotRead_ConnectionEnds(t *testing.T) {
	t.Attr("checklist", "item43")
	hub, met, gone := meetingHub()
	h := start(t, hub, quiet())
	f := h.pollDial()
	conn := await(t, met, "connection")
	if err := conn.TrySend("lost"); err != nil {
		t.Fatal(err)
	}
	h.ServeHTTP(unflushable{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/hub"+f.query, http.NoBody))
	if err := await(t, gone, "OnDisconnected"); !errors.Is(err, errSendTimeout) || conn.EndedByClient() {
		t.Errorf("%v, by the client: %t", err, conn.EndedByClient())
	}
	f.want(f.do("GET", ""), 404, noConnection)
	h.gone()
}

func (l *longPoll) idle() bool {
	l.poll.Lock()
	defer l.poll.Unlock()
	return l.poll.current == nil
}

func TestLongPollingKeepsOrder(t *testing.T) {
	t.Attr("checklist", "item163")
	hub, met, _ := meetingHub()
	h := start(t, hub, Options{})
	f := h.pollDial()
	conn := await(t, met, "connection")
	go func() {
		for i := range 500 {
			ask, _ := echo(i) // any text will do
			if conn.Write(context.Background(), JSONFrame([]byte(ask+"\x1e"))) != nil {
				return
			}
		}
	}()
	for i := range 500 {
		ask, _ := echo(i)
		f.expect(ask)
	}
}

// brokenWriter is an answer whose client has gone.
type brokenWriter struct{ header http.Header }

func (w brokenWriter) Header() http.Header       { return w.header }
func (w brokenWriter) WriteHeader(int)           {}
func (w brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestLongPolling_AnswerNotWritable_ConnectionEnds(t *testing.T) {
	hub, gone := echoHub()
	h := start(t, hub, quiet())
	h.pollDial()
	if err := h.only().TrySend("x"); err != nil {
		t.Fatal(err)
	}
	r, _ := http.NewRequest("GET", "/hub", http.NoBody)
	h.polls().serve(brokenWriter{http.Header{}}, r)
	if err := await(t, gone, "end"); err == nil || err.Error() != "broken pipe" {
		t.Error(err)
	}
	h.gone()
}

func TestLongPollingShutdown(t *testing.T) {
	t.Attr("checklist", "item150")
	t.Run("Shutdown tells the poll that hangs", func(t *testing.T) {
		hub, gone := echoHub()
		h := start(t, hub, Options{})
		f := h.pollDial()
		hung := f.poll(context.Background())
		h.hanging()
		done := make(chan error, 1)
		go func() { done <- h.Shutdown(context.Background()) }()
		f.want(await(t, hung, "Close"), 200, `{"type":7,"allowReconnect":true}`+"\x1e")
		f.want(f.do("GET", ""), 204, "")
		if err := await(t, done, "Shutdown"); err != nil {
			t.Error(err)
		}
		await(t, gone, "OnDisconnected")
	})
	t.Run("the end of Run waits for the answer, not for the client", func(t *testing.T) {
		hub, gone := echoHub()
		s := NewServer(hub, quiet())
		h := startWith(t, s)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		f := h.pollDial()
		hung := f.poll(context.Background())
		h.hanging()
		cancel()
		f.want(await(t, hung, "Close"), 200, `{"type":7,"allowReconnect":true}`+"\x1e")
		if err := await(t, done, "Run"); err != nil {
			t.Error(err)
		}
		await(t, gone, "OnDisconnected")
		f.want(f.do("GET", ""), 404, noConnection)
	})
}

func TestExpiry_LaterRequest_Replaces(t *testing.T) {
	t.Attr("checklist", "item24 item28")
	expires := time.Now().Add(time.Hour)
	hub, gone := echoHub()
	opts := quiet()
	opts.Authenticate = fixedIdentity(&expires)
	h := start(t, hub, opts)
	f := h.pollDial()
	expires = time.Now().Add(-time.Second)
	f.msg(`{"type":6}`) // with a credential that has passed meanwhile
	h.passStuck(time.Second)
	f.expect(`{"type":7,"allowReconnect":true}`)
	if err := await(t, gone, "end"); !errors.Is(err, errExpired) {
		t.Error(err)
	}
}
