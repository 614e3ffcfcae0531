package attack

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"
)

func strangerAttacks() []Attack {
	return []Attack{
		{"idle after a request", Stranger, idleAfterRequest, false},
		{"idle from the start", Stranger, idleFromStart, false},
		{"idle after a 401", Stranger, idleAfterRefusal, false},
		{"slow head", Stranger, slowHead, false},
		{"announced bodies", Stranger, announcedBodies, false},
		{"large unfinished bodies", Stranger, largeBodies, false},
		{"slow bodies", Stranger, slowBodies, false},
		{"endless chunks", Stranger, endlessChunks, false},
		{"unread pages", Stranger, unreadPages, false},
		{"unread small answers", Stranger, unreadSmall, false},
		{"metrics scrapes", Stranger, scrapes, false},
		{"unread metrics", Stranger, unreadMetrics, false},
		{"made-up API keys", Stranger, madeUpKeys, false},
		{"made-up device tokens", Stranger, madeUpTokens, false},
		{"made-up connection tokens", Stranger, strayTokens, false},
		{"negotiate without a token", Stranger, negotiateFlood, false},
		{"malformed heads", Stranger, malformedHeads, false},
		{"half-closed callers", Stranger, halfClosed, false},
		{"resets in the middle", Stranger, resets, false},
		{"TLS and HTTP/2 at a plain port", Stranger, otherProtocols, false},
	}
}

func idleAfterRequest(ctx context.Context, v *Victim) {
	v.hold(ctx, v.Size, func(_ context.Context, c *conn) {
		if c.send(v.request("GET", "/livez", "")) && c.answer() != 0 {
			c.drain()
		}
	})
}

func idleFromStart(ctx context.Context, v *Victim) {
	v.hold(ctx, v.Size, func(_ context.Context, c *conn) { c.drain() })
}

func idleAfterRefusal(ctx context.Context, v *Victim) {
	v.hold(ctx, v.Size, func(_ context.Context, c *conn) {
		if c.send(v.request("POST", "/v1/messages", "{}", json, bearer("esk_none"))) && c.answer() != 0 {
			c.drain()
		}
	})
}

// slowHead sends a header line now and then, as slowloris does.
func slowHead(ctx context.Context, v *Victim) {
	v.hold(ctx, v.Size, func(ctx context.Context, c *conn) {
		if !c.send("GET /livez HTTP/1.1\r\nHost: x\r\n") {
			return
		}
		for i := 0; pause(ctx, 500*time.Millisecond); i++ {
			if !c.send(fmt.Sprintf("X-%d: y\r\n", i)) {
				return
			}
		}
	})
}

// announcedBodies sends heads only: a server that waits for the body holds a place for it.
func announcedBodies(ctx context.Context, v *Victim) {
	targets := []string{"/v1/messages", "/v1/messages/batch", "/admin/v1/device-tokens", phoneHub + "/negotiate?negotiateVersion=1"}
	v.hold(ctx, v.Size, func(_ context.Context, c *conn) {
		target := targets[int(v.Answers.Dialed.Load())%len(targets)]
		if c.send(v.head("POST", target, 200_000, json, bearer("esk_none"))) {
			c.answer()
			c.drain()
		}
	})
}

// largeBodies sends 2 MiB of a body of 16 MiB and waits.
func largeBodies(ctx context.Context, v *Victim) {
	piece := strings.Repeat(" ", 64<<10)
	v.hold(ctx, min(v.Size, 150), func(_ context.Context, c *conn) {
		if !c.send(v.head("POST", "/v1/messages/batch", 16<<20, json)) {
			return
		}
		for range 32 {
			if !c.send(piece) {
				break
			}
		}
		c.answer()
		c.drain()
	})
}

func slowBodies(ctx context.Context, v *Victim) {
	v.hold(ctx, v.Size, func(ctx context.Context, c *conn) {
		if !c.send(v.head("POST", "/v1/messages", 100_000, json)) {
			return
		}
		for pause(ctx, 250*time.Millisecond) {
			if !c.send(" ") {
				return
			}
		}
	})
}

// endlessChunks sends chunks of one byte with long extensions and never the last one.
func endlessChunks(ctx context.Context, v *Victim) {
	chunk := "1;" + strings.Repeat("x", 2000) + "\r\n \r\n"
	v.hold(ctx, min(v.Size, 50), func(ctx context.Context, c *conn) {
		if !c.send(v.request("POST", "/v1/messages", "", json, "Transfer-Encoding: chunked")) {
			return
		}
		for pause(ctx, 10*time.Millisecond) {
			if !c.send(chunk) {
				return
			}
		}
	})
}

// pipelined sends many requests at once and reads nothing.
func pipelined(ctx context.Context, v *Victim, n int, targets ...string) {
	v.hold(ctx, n, func(ctx context.Context, c *conn) {
		target := targets[int(v.Answers.Dialed.Load())%len(targets)]
		c.send(strings.Repeat(v.request("GET", target, ""), 200))
		c.linger(ctx)
	})
}

func unreadPages(ctx context.Context, v *Victim) {
	pipelined(ctx, v, min(v.Size, 200), "/demo/phone.js", "/openapi.json", "/docs", "/demo/", "/demo/signalr.js")
}

func unreadSmall(ctx context.Context, v *Victim) {
	pipelined(ctx, v, min(v.Size, 200), "/livez", "/readyz", "/none", "/v1/messages")
}

func unreadMetrics(ctx context.Context, v *Victim) { pipelined(ctx, v, min(v.Size, 100), "/metrics") }

func scrapes(ctx context.Context, v *Victim) {
	asks := v.pace(400)
	v.hold(ctx, min(v.Size, 50), func(ctx context.Context, c *conn) {
		for asks.wait(ctx) && c.send(v.request("GET", "/metrics", "")) && c.answer() != 0 {
		}
	})
}

// ask repeats calls on a few connections at a pace.
func ask(ctx context.Context, v *Victim, perSecond int, text func() string) {
	asks := v.pace(perSecond)
	v.hold(ctx, min(v.Size, 20), func(ctx context.Context, c *conn) {
		for asks.wait(ctx) && c.send(text()) && c.answer() != 0 {
		}
	})
}

func madeUpKeys(ctx context.Context, v *Victim) {
	ask(ctx, v, 2000, func() string {
		return v.request("POST", "/v1/messages", "{}", json, bearer("esk_"+rand.Text()+rand.Text()))
	})
}

func madeUpTokens(ctx context.Context, v *Victim) {
	ask(ctx, v, 2000, func() string {
		return v.request("POST", phoneHub+"/negotiate?negotiateVersion=1", "", "Content-Length: 0",
			bearer("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIrOTY3NzcxMjM0NTY3In0."+rand.Text()))
	})
}

// strayTokens asks for connections of other nodes, that exist and that do not.
func strayTokens(ctx context.Context, v *Victim) {
	ask(ctx, v, 1000, func() string {
		return v.request("GET", phoneHub+"?id="+rand.Text()+"."+rand.Text()[:8], "")
	})
}

func negotiateFlood(ctx context.Context, v *Victim) {
	ask(ctx, v, 2000, func() string {
		return v.request("POST", phoneHub+"/negotiate?negotiateVersion=1", "", "Content-Length: 0")
	})
}

// heads are requests that are no HTTP, or HTTP at its edges.
var heads = []string{
	"\r\n\r\n\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", "\x00\x00\x00\x00\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "GET http:// HTTP/1.1\r\nHost: x\r\n\r\n",
	"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", "GET //../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
	"CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
	"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
	"POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 6\r\n\r\nhello", "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
	"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
	"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", "POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"POST /v1/messages HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + strings.Repeat("t", 70_000) + "\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nA : y\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", "GET / HTTP/1.1\nHost: x\n\n",
	"GET / HTTP/1.1\r\nHost: x\r\nA: \x00\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nA: y\rB: z\r\n\r\n",
	"GET /" + strings.Repeat("a", 100_000) + " HTTP/1.1\r\nHost: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 100_000) + "\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("A: b\r\n", 20_000) + "\r\n", strings.Repeat("G", 200_000),
	"POST /v1/messages HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n", "POST /v1/messages HTTP/1.1\r\nHost: x\r\nExpect: teapot\r\nContent-Length: 2\r\n\r\n{}",
	"GET /online-mobile-user HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
	"GET /online-mobile-user HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
	"GET /v1/events HTTP/1.1\r\nHost: x\r\nLast-Event-ID: \xff\xfe\r\n\r\n", "GET /v1/messages?cursor=%00&limit=99999999999999999999 HTTP/1.1\r\nHost: x\r\n\r\n",
}

// malformedHeads sends each of heads, reads what comes, and begins again.
func malformedHeads(ctx context.Context, v *Victim) {
	next := v.pace(500)
	turn := make(chan string)
	go func() { // ends with ctx
		defer close(turn)
		for i := 0; next.wait(ctx); i++ {
			select {
			case turn <- heads[i%len(heads)]:
			case <-ctx.Done():
			}
		}
	}()
	v.hold(ctx, min(v.Size, 40), func(_ context.Context, c *conn) {
		text, more := <-turn
		if !more {
			return
		}
		c.send(text)
		_ = c.CloseWrite() // the server may have closed it
		for c.answer() != 0 {
		}
	})
}

// halfClosed sends a call and closes its side before the answer.
func halfClosed(ctx context.Context, v *Victim) {
	v.hold(ctx, min(v.Size, 50), func(_ context.Context, c *conn) {
		c.send(v.request("POST", "/v1/messages", message("+967771234567", "x", "normal"), json, bearer("esk_none")))
		_ = c.CloseWrite() // the server may have closed it
		c.answer()
		c.drain()
	})
}

// resets ends connections in the middle of a request and of an answer.
func resets(ctx context.Context, v *Victim) {
	text := v.request("POST", "/v1/messages", message("+967771234567", strings.Repeat("x", 4000), "normal"), json, bearer("esk_none"))
	v.hold(ctx, min(v.Size, 50), func(_ context.Context, c *conn) {
		n := int(v.Answers.Dialed.Load()) * 37 % (len(text) + 1)
		c.send(text[:n]) // and Close resets it
	})
}

func otherProtocols(ctx context.Context, v *Victim) {
	hello := "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x07", 505)
	preface := "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	v.hold(ctx, min(v.Size, 50), func(_ context.Context, c *conn) {
		c.send([]string{hello, preface}[v.Answers.Dialed.Load()%2])
		c.drain()
	})
}
