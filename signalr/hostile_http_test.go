package signalr

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// torrent is a body that brings bytes as long as somebody reads, at most limit of them.
type torrent struct {
	fill  byte
	limit int64
	given atomic.Int64
}

func (e *torrent) Read(b []byte) (int, error) {
	if e.given.Load() >= e.limit {
		return 0, errors.New("nobody stopped it")
	}
	for i := range b {
		b[i] = e.fill
	}
	e.given.Add(int64(len(b)))
	return len(b), nil
}

// TestHostile_Requests_MemoryIsBounded is TestHostile for the transports that are made of requests.
func TestHostile_Requests_MemoryIsBounded(t *testing.T) {
	hub, gone := echoHub()

	t.Run("item142 item61 a post without end", func(t *testing.T) {
		h := start(t, hub, quiet())
		before := heap()
		for _, fill := range []byte{'x', '['} {
			f := h.pollDial()
			body := &torrent{fill: fill, limit: 1 << 30}
			// What comes of the request itself does not matter: it is cut off, or answered before its end.
			if resp, err := http.Post(h.web.URL+"/hub"+f.query, "text/plain", body); err == nil {
				resp.Body.Close()
			}
			if taken := body.given.Load(); taken > 32<<20 { // what lies in the buffers of two sockets
				t.Errorf("%d MiB were taken", taken>>20)
			}
			f.expect(`{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`)
			await(t, gone, "end")
		}
		costs(t, before, 2<<20)
		unharmed(h)
		await(t, gone, "end of the polite one")
	})

	t.Run("item58 posts that bring nothing, and polls that never come", func(t *testing.T) {
		h := start(t, hub, quiet())
		before := heap()
		var half []net.Conn
		for range 100 {
			f := h.negotiated("")
			f.want(f.do("GET", ""), 200, "")
			nc, err := net.Dial("tcp", strings.TrimPrefix(h.web.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if _, err = io.WriteString(nc, "POST /hub"+f.query+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n{"); err != nil {
				t.Fatal(err)
			}
			half = append(half, nc)
		}
		h.until("all of them", func() bool { return h.Stats().Active == 100 })
		costs(t, before, 100*64<<10) // with what net/http and the test itself have for a request
		unharmed(h)
		await(t, gone, "end of the polite one")
		h.passStuck(20 * time.Second)
		for _, nc := range half {
			nc.Close()
		}
		h.gone()
	})

	t.Run("item55 polls by the hundred on one connection", func(t *testing.T) {
		h := start(t, hub, quiet())
		f := h.pollDial()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		const many = 200
		answers := make(chan response, many)
		for range many {
			poll := f.rival(ctx)
			go func() { answers <- <-poll }()
		}
		unharmed(h)
		ask, answer := echo(1)
		f.msg(ask)
		got := 0
		for range many {
			a := await(t, answers, "answer of a poll")
			switch {
			case a.body == answer+"\x1e":
				got++
			case a.status != 204 && a.status != 409 && a.status != 404:
				t.Errorf("a poll got %d %q", a.status, a.body)
			}
			if got == 1 && a.status == 200 {
				f.do("DELETE", "") // ends the one that still hangs
			}
		}
		if got != 1 {
			t.Errorf("%d polls got the answer", got)
		}
	})
}
