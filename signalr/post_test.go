package signalr

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestPost(t *testing.T) {
	hub, _ := echoHub()
	h := start(t, hub, quiet())
	ask, answered := echo(1)

	t.Run("item61 accepted whatever the type of the body", func(t *testing.T) {
		f := h.polling()
		for _, kind := range []string{"text/plain;charset=UTF-8", "application/octet-stream", ""} {
			a := f.do("POST", "", "Content-Type", kind)
			f.want(a, 200, "")
			if a.header.Get("Content-Type") != "text/plain" {
				t.Errorf("%v", a.header)
			}
		}
		f.want(f.do("DELETE", ""), 202, "")
	})
	t.Run("item62 refusals", func(t *testing.T) {
		none := &fetcher{h: h, t: t}
		none.want(none.do("POST", "x"), 400, idRequired)
		none.query = "?id=nobody"
		none.want(none.do("POST", "x"), 404, noConnection)
		unused := h.negotiated("")
		unused.want(unused.do("POST", hello), 404, noConnection)
		socket := h.negotiated("")
		h.raw(socket.query)
		socket.want(socket.do("POST", "x"), 405, "POST requests are not allowed for WebSocket connections.")
	})
	t.Run("item65 many messages or a part of one", func(t *testing.T) {
		for name, dial := range map[string]func() interface{ expect(...string) }{
			"polls":  func() interface{ expect(...string) } { return h.pollDial() },
			"events": func() interface{ expect(...string) } { return h.listenDial() },
		} {
			c := dial()
			post := h.lastPost(c)
			text := ask + "\x1e" + ask + "\x1e" + ask + "\x1e"
			for i := range len(text) {
				post(text[i : i+1])
			}
			post(text)
			c.expect(answered, answered, answered, answered, answered, answered)
			t.Log(name)
		}
	})
	t.Run("item142 the limit is per message, not per body", func(t *testing.T) {
		f := h.pollDial()
		big := `{"type":6,"x":"` + strings.Repeat("x", 32000) + `"}`
		f.msg(big, big, big, ask)
		f.expect(answered)
		f.do("POST", `{"type":6,"x":"`+strings.Repeat("x", 40000)) // 404 where a part of it came too late
		f.expect(`{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`)
	})
}

// lastPost returns how a client posts.
func (h *harness) lastPost(c any) func(string) {
	switch c := c.(type) {
	case *listener:
		return c.post
	case *fetcher:
		return c.post
	default:
		h.t.Fatalf("%T", c)
		return nil
	}
}

// half is a POST whose body the test sends in parts.
type half struct {
	t  *testing.T
	nc net.Conn
	r  *bufio.Reader
}

func (f *fetcher) halfPost(length int) *half {
	f.t.Helper()
	nc, err := net.Dial("tcp", strings.TrimPrefix(f.h.web.URL, "http://"))
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(testTimeout))
	p := &half{t: f.t, nc: nc, r: bufio.NewReader(nc)}
	p.send(fmt.Sprintf("POST /hub%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", f.query, length))
	return p
}

func (p *half) send(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.nc, text); err != nil {
		p.t.Fatal(err)
	}
}

func (p *half) status() int {
	p.t.Helper()
	resp, err := http.ReadResponse(p.r, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode
}

func TestPost_Concurrent_ReadInTurn(t *testing.T) {
	t.Attr("checklist", "item63")
	var mu sync.Mutex
	var order []string
	hub, gone := echoHub()
	On1(hub, "Note", func(_ *Call, s string) error {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, s)
		return nil
	})
	h := start(t, hub, quiet())
	f := h.pollDial()
	note := func(s string) string { return `{"type":1,"target":"Note","arguments":["` + s + `"]}` + "\x1e" }

	// The first is in the middle of its body when the others come.
	body := note("a") + note("b")
	first := f.halfPost(len(body))
	first.send(body[:len(body)/2+5])
	box := &h.polls().inflow
	h.until("the first has its turn", func() bool { return len(box.turn) == 0 })
	var rest sync.WaitGroup
	for i := range 8 {
		rest.Go(func() { f.post(note(fmt.Sprint(i)) + note(fmt.Sprint(i))) })
	}
	first.send(body[len(body)/2+5:])
	if status := first.status(); status != 200 {
		t.Errorf("%d", status)
	}
	rest.Wait()
	f.want(f.do("DELETE", ""), 202, "")
	await(t, gone, "end")
	if len(order) != 18 || !slices.Equal(order[:2], []string{"a", "b"}) {
		t.Fatalf("%v", order)
	}
	for i := 2; i < 18; i += 2 {
		if order[i] != order[i+1] {
			t.Errorf("bodies are mixed: %v", order)
		}
	}
}

func TestPost_BodyBreaksOff_Fails(t *testing.T) {
	t.Attr("checklist", "item62")
	hub, _ := echoHub()
	h := start(t, hub, quiet())
	ask, answered := echo(1)
	f := h.pollDial()
	p := f.halfPost(1000)
	p.send(`{"type":1,"target":"Ec`)
	box := &h.polls().inflow
	h.until("it has its turn", func() bool { return len(box.turn) == 0 })
	_ = p.nc.(*net.TCPConn).CloseWrite()
	if status := p.status(); status != 400 {
		t.Errorf("%d", status)
	}
	f.msg(ask) // what broke off is not there
	f.expect(answered)
	t.Run("a body without progress", func(t *testing.T) {
		opts := quiet()
		opts.Timeouts.Send = time.Second // a bound of the kernel's, which no bubble has; answers must keep it too
		h := start(t, hub, opts)
		f := h.pollDial()
		if status := f.halfPost(1000).status(); status != 400 {
			t.Errorf("%d", status)
		}
	})
}

func TestPost_HubIsBusy_Waits(t *testing.T) {
	t.Attr("checklist", "item64")
	leave := make(chan struct{})
	entered := make(chan struct{}, 100)
	hub, gone := echoHub()
	On1(hub, "Wait", func(*Call, string) error { entered <- struct{}{}; <-leave; return nil })
	h := start(t, hub, quiet())
	wait := `{"type":1,"target":"Wait","arguments":["` + strings.Repeat("x", 30000) + `"]}` + "\x1e"

	f := h.pollDial()
	f.post(wait + wait + wait) // one runs, one is next, one waits: 30 KB
	await(t, entered, "the handler")
	late := make(chan response, 1)
	go func() {
		a, _ := h.request(context.Background(), "POST", f.query, wait+wait)
		late <- a
	}()
	conn := h.only()
	h.until("reading pauses", conn.in.paused)
	if len(late) > 0 {
		t.Error("was answered while more than 64 KB are unread")
	}
	leave <- struct{}{}
	leave <- struct{}{}
	f.want(await(t, late, "the answer, once the hub reads on"), 200, "")
	await(t, entered, "the second call")
	await(t, entered, "the third") // so nobody else is reading the input any more

	// And the end of the connection answers it too, with much of the body still to be read.
	go func() {
		a, _ := h.request(context.Background(), "POST", f.query, strings.Repeat(wait, 8))
		late <- a
	}()
	h.until("reading pauses", conn.in.paused)
	conn.Abort()
	f.want(await(t, late, "the answer"), 404, noConnection)
	close(leave)
	await(t, gone, "OnDisconnected")
}

func TestPost_ClientLeaves_StopsWaiting(t *testing.T) {
	leave := make(chan struct{})
	hub, gone := echoHub()
	On1(hub, "Wait", func(*Call, string) error { <-leave; return nil })
	h := start(t, hub, quiet())
	wait := `{"type":1,"target":"Wait","arguments":["` + strings.Repeat("x", 30000) + `"]}` + "\x1e"
	f := h.pollDial()
	f.post(strings.Repeat(wait, 4))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = h.request(ctx, "POST", f.query, wait[:10000]) // all of it is read, so its client's end is seen
	}()
	conn := h.only()
	h.until("reading pauses", conn.in.paused)
	cancel()
	<-done
	box := &h.polls().inflow
	h.until("its turn ends", func() bool { return len(box.turn) == 1 })
	close(leave)
	f.want(f.do("DELETE", ""), 202, "")
	await(t, gone, "OnDisconnected")
}
