package signalr

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// byHeader authenticates by two headers.
func byHeader(r *http.Request) (Identity, error) {
	return Identity{UserID: r.Header.Get("X-User"), Device: r.Header.Get("X-Device")}, nil
}

// connect opens a connection of a user's device and shakes hands.
func (h *harness) connect(user, device string) *client {
	h.t.Helper()
	c, resp := h.raw("", "X-User", user, "X-Device", device)
	if resp.StatusCode != http.StatusSwitchingProtocols {
		h.t.Fatalf("upgrade: got %d, want 101", resp.StatusCode)
	}
	c.send(hello)
	c.expect("{}")
	return c
}

// refusedWith reports what a connection beyond a limit is answered, by upgrade and by negotiate.
func (h *harness) refusedWith(user, device string) (upgrade, negotiate *http.Response) {
	h.t.Helper()
	c, upgrade := h.raw("", "X-User", user, "X-Device", device)
	c.nc.Close()
	negotiate, _ = h.do("POST", "/hub/negotiate?negotiateVersion=1", "X-User", user, "X-Device", device)
	return upgrade, negotiate
}

const closedReconnect = `{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`

func TestUnfinished_Deadline_EndsConnection(t *testing.T) {
	engines(t, func(t *testing.T, opts Options) {
		hub, gone := echoHub()
		opts.Timeouts.Heartbeat = time.Hour
		h := start(t, hub, opts)
		c := h.dial()
		alive := func(seconds int) {
			for range seconds { // bytes of the message keep the connection alive, and do not move the end of the message
				before := h.Stats().BytesIn
				c.send(" ")
				h.until("a sign of life", func() bool { return h.Stats().BytesIn > before })
				h.pass(time.Second)
			}
		}
		ask, answer := echo(1)
		for range 2 { // the time of one message is not the next one's
			c.send(ask[:9])
			h.until("half a message", func() bool { return h.only().in.partialSince() != 0 })
			alive(58)
			c.send(ask[9:] + "\x1e")
			c.expect(answer)
		}
		c.send(ask[:9])
		h.until("half a message", func() bool { return h.only().in.partialSince() != 0 })
		alive(61)
		c.expect(closedReconnect)
		c.expectClose(1000)
		if err := await(t, gone, "end"); !errors.Is(err, errUnfinished) {
			t.Errorf("got %v, want %v", err, errUnfinished)
		}
	})
}

// TestUnfinished_Memory_IsBounded has connections that begin messages of 30,000 bytes.
func TestUnfinished_Memory_IsBounded(t *testing.T) {
	engines(t, func(t *testing.T, opts Options) {
		hub, gone := echoHub()
		opts.Timeouts.Heartbeat = time.Hour
		opts.Authenticate = byHeader
		opts.Limits.Unfinished, opts.Limits.UnfinishedPerUser = 200<<10, 80<<10
		h := start(t, hub, opts)
		begin := func(user string) (taken bool) {
			c, before := h.connect(user, ""), h.Stats().Unfinished
			c.send(`{"type":1,"target":"` + strings.Repeat("x", 30000))
			c.frame(finBit|opPing, nil)
			head, payload, err := c.readFrame()
			if err != nil || head != finBit|opPong && string(payload) != closedReconnect+"\x1e" {
				t.Fatalf("got %x %q %v", head, payload, err)
			}
			taken = head == finBit|opPong
			if !taken {
				await(t, gone, "end")
			}
			if grown := h.Stats().Unfinished - before; taken && grown != 28<<10 || !taken && grown != 0 {
				t.Errorf("%s: %d bytes are counted", user, grown)
			}
			return taken
		}
		for _, tc := range []struct {
			user string
			want int
		}{{"a", 2}, {"b", 2}, {"a", 0}, {"c", 2}, {"d", 1}, {"e", 0}} {
			got := 0
			for range 2 {
				if begin(tc.user) {
					got++
				}
			}
			if got != tc.want {
				t.Errorf("%s: %d messages were begun, want %d", tc.user, got, tc.want)
			}
		}
		polite := h.connect("a", "") // whose messages are whole
		ask, answer := echo(1)
		polite.msg(ask)
		polite.expect(answer)
		h.pass(16 * time.Second) // where much waits, messages have a quarter of the time
		h.until("room for others", func() bool { return h.Stats().Unfinished <= 100<<10 })
		h.dropAll()
		if n := h.Stats().Unfinished; n != 0 {
			t.Errorf("%d bytes are counted at the end, want 0", n)
		}
	})
}

func TestConnections_OfDevice_NewestReplacesOldest(t *testing.T) {
	hub, gone := echoHub()
	opts := quiet()
	opts.Authenticate, opts.ReplaceOldest = byHeader, true
	opts.Limits.ConnectionsPerDevice, opts.Limits.ConnectionsPerUser = 2, 4
	h := start(t, hub, opts)
	first, second := h.connect("u", "phone"), h.connect("u", "phone")
	other := h.connect("u", "tablet")
	third := h.connect("u", "phone")
	first.expect(`{"type":7,"error":"Connection closed: its device has opened newer ones."}`)
	first.expectClose(1000)
	await(t, gone, "end of the first")
	ask, answer := echo(1)
	for _, c := range []*client{second, other, third} {
		c.msg(ask)
		c.expect(answer)
	}
	h.until("three connections", func() bool { return h.Stats().Active == 3 })
	// Clients that do not take their leave count, too, when there are as many again.
	accepted := 0
	for range 10 {
		c, resp := h.raw("", "X-User", "u", "X-Device", "phone")
		switch resp.StatusCode {
		case http.StatusSwitchingProtocols:
			accepted++
		case http.StatusTooManyRequests:
			c.nc.Close()
		default:
			t.Errorf("got %d", resp.StatusCode)
		}
		if n := h.Stats().Active; n > 5 {
			t.Fatalf("%d connections are open, want at most 4 of the phone and 1 of the tablet", n)
		}
	}
	if s := h.Stats(); accepted != 2 || s.Replaced != 3 || s.Refused != 8 {
		t.Errorf("got %d, %+v, want 2 more connections", accepted, s)
	}
	other.msg(ask)
	other.expect(answer)
}

func TestConnections_OfUser_Are429BeyondLimit(t *testing.T) {
	hub, _ := echoHub()
	opts := quiet()
	opts.Authenticate = byHeader
	opts.Limits.ConnectionsPerDevice, opts.Limits.ConnectionsPerUser = 2, 3
	h := start(t, hub, opts)
	clients := []*client{h.connect("u", "1"), h.connect("u", "1")}
	full := func(user, device string) {
		t.Helper()
		for _, resp := range []*http.Response{first(h.refusedWith(user, device)), second(h.refusedWith(user, device))} {
			if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
				t.Errorf("got %d, Retry-After %q, want 429 with one", resp.StatusCode, resp.Header.Get("Retry-After"))
			}
		}
	}
	full("u", "1")
	clients = append(clients, h.connect("u", "2"))
	full("u", "3")
	full("u", "")
	h.connect("v", "1")
	clients[0].nc.Close()
	h.until("room", func() bool { return h.Stats().Active == 3 })
	h.connect("u", "3")
	full("u", "1")
}

func first(a, _ *http.Response) *http.Response  { return a }
func second(_, b *http.Response) *http.Response { return b }

func TestNegotiations_OfUser_Are429BeyondLimit(t *testing.T) {
	hub, _ := echoHub()
	opts := quiet()
	opts.Authenticate = byHeader
	opts.Limits.NegotiatedPerUser = 3
	h := start(t, hub, opts)
	for i, want := range []int{200, 200, 200, 429, 429} {
		if resp, _ := h.do("POST", "/hub/negotiate?negotiateVersion=1", "X-User", "u"); resp.StatusCode != want {
			t.Errorf("negotiation %d: got %d, want %d", i, resp.StatusCode, want)
		}
	}
	if resp, _ := h.do("POST", "/hub/negotiate?negotiateVersion=1", "X-User", "v"); resp.StatusCode != 200 {
		t.Errorf("another user: got %d, want 200", resp.StatusCode)
	}
	h.pass(16 * time.Second)
	if resp, _ := h.do("POST", "/hub/negotiate?negotiateVersion=1", "X-User", "u"); resp.StatusCode != 200 || len(h.pending.users) != 1 {
		t.Errorf("later: got %d with %d users, want 200 with 1", resp.StatusCode, len(h.pending.users))
	}
}

// TestArguments_OfOpenCalls_AreBounded has calls that are taken out of their slot and never end.
func TestArguments_OfOpenCalls_AreBounded(t *testing.T) {
	hub, _ := echoHub()
	open := make(chan *Deferred, 100)
	On1(hub, "Defer", func(c *Call, _ string) error { open <- c.Defer(); return nil })
	On1(hub, "Upload", func(c *Call, items Upload[string]) error {
		_, err := items.Recv(c.Context())
		return err
	})
	opts := quiet()
	opts.Limits.Arguments = 100 << 10
	h := start(t, hub, opts)
	c := h.dial()
	for range 10 {
		c.msg(`{"type":1,"invocationId":"` + strings.Repeat("i", 15000) + `","target":"Defer","arguments":["` + strings.Repeat("x", 15000) + `"]}`)
	}
	h.until("all that start", func() bool { return len(open) == 3 && h.only().in.waiting() })
	(<-open).Return(nil)
	c.next()
	h.until("another one", func() bool { return len(open) == 3 && h.only().in.waiting() })
	for range 9 {
		await(t, open, "a call").Return(nil)
		c.next()
	}
	h.until("the account to be even", func() bool {
		d := &h.only().in
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.held == 0
	})
	for i := range 5 { // three take less than the limit
		id := strings.Repeat("s", 30000) + string(rune('a'+i))
		c.msg(`{"type":1,"invocationId":"` + id[30000:] + `","target":"Upload","arguments":[],"streamIds":["` + id + `"]}`)
	}
	for range 2 {
		if got := c.next(); !strings.Contains(got, "The arguments of open streams") {
			t.Errorf("got %.200s, want a refusal", got)
		}
	}
}

// TestRefusedStreams_WaitTheirTurn floods a busy connection with stream invocations that are refused.
func TestRefusedStreams_WaitTheirTurn(t *testing.T) {
	hub, _ := echoHub()
	let, busy := make(chan struct{}), make(chan struct{})
	On0(hub, "Block", func(*Call) error { close(busy); <-let; return nil })
	h := start(t, hub, quiet())
	c := h.dial()
	c.msg(`{"type":1,"invocationId":"0","target":"Block","arguments":[]}`)
	await(t, busy, "the handler")
	const flood = 400
	c.msg(strings.TrimSuffix(strings.Repeat(`{"type":4,"invocationId":"1","target":"None","arguments":[]}`+"\x1e", flood), "\x1e"))
	h.until("the flood", func() bool { return h.only().in.waiting() })
	d := &h.only().in
	d.mu.Lock()
	if d.running != 1 || d.streams != 0 || len(d.ready) != 0 {
		t.Errorf("%d calls run, %d of them streams, %d are ready, want 1 that runs", d.running, d.streams, len(d.ready))
	}
	d.mu.Unlock()
	close(let)
	c.expect(`{"type":3,"invocationId":"0"}`)
	for range flood {
		if got := c.next(); !strings.HasPrefix(got, `{"type":3,"invocationId":"1","error":`) {
			t.Fatalf("got %s", got)
		}
	}
}

// TestPosts_OfOneConnection_AreBounded has requests that wait for one whose body does not end.
func TestPosts_OfOneConnection_AreBounded(t *testing.T) {
	hub, _ := echoHub()
	h := start(t, hub, quiet())
	f := h.pollDial()
	hang := func() net.Conn {
		nc, err := net.Dial("tcp", strings.TrimPrefix(h.web.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		if _, err = io.WriteString(nc, "POST /hub"+f.query+" HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
		return nc
	}
	l := h.only().transport().(*longPoll)
	posts := func() int { l.mu.Lock(); defer l.mu.Unlock(); return l.posts }
	for i := range maxPosts {
		hang()
		h.until("the request", func() bool { return posts() == i+1 })
	}
	resp, err := http.Post(h.web.URL+"/hub"+f.query, "text/plain", strings.NewReader(`{"type":6}`+"\x1e"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" {
		t.Errorf("got %d, Retry-After %q, want 429 with one", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
}
