package signalr

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"
)

func fixedIdentity(expires *time.Time) func(*http.Request) (Identity, error) {
	return func(*http.Request) (Identity, error) { return Identity{UserID: "u", Expires: *expires}, nil }
}

// reader gives a hub that hands out its connections.
func meetingHub() (hub *Hub, met chan *Conn, gone chan error) {
	hub, gone = echoHub()
	met = make(chan *Conn, 100)
	hub.OnConnected = func(c *Conn) error { met <- c; return nil }
	return hub, met, gone
}

func TestWriteOneFrame(t *testing.T) {
	t.Attr("checklist", "item37 item38")
	hub, met, _ := meetingHub()
	h := start(t, hub, quiet())
	c := h.dial()
	conn := await(t, met, "connection")

	one := JSONFrame(AppendInvocation(nil, "ReceiveMessage", json.RawMessage(`{"a":1}`), json.RawMessage(`"x"`)))
	two, err := NewFrame("Other", map[string]string{"html": "<b>&"}, nil, json.RawMessage(`[1]`))
	if err != nil {
		t.Fatal(err)
	}
	if err = conn.TryWrite(one, two, one); err != nil {
		t.Fatal(err)
	}
	const first = `{"type":1,"target":"ReceiveMessage","arguments":[{"a":1},"x"]}` + "\x1e"
	const second = `{"type":1,"target":"Other","arguments":[{"html":"<b>&"},null,[1]]}` + "\x1e"
	opcode, payload, err := c.readFrame()
	if err != nil || opcode != finBit|opText || string(payload) != first+second+first { // item37 item38
		t.Errorf("%x %q %v", opcode, payload, err)
	}
	if got := h.Stats().MessagesOut; got != 4 {
		t.Errorf("counted %d messages, want 3 and the handshake", got)
	}
	if err = conn.TryWrite(Frame{}); err == nil {
		t.Error("empty frame was taken")
	}
	if err = conn.TrySend("x", make(chan int)); err == nil {
		t.Error("what cannot be encoded was taken")
	}
	if err = conn.TrySend("x", json.RawMessage("\"\x1e\"")); err == nil {
		t.Error("record separator was taken")
	}
	before := Now()
	if conn.LastReceived() > before {
		t.Error("received in the future")
	}
	ask, answer := echo(1)
	c.msg(ask)
	c.expect(answer)
	if conn.LastReceived() <= before {
		t.Error("bytes after a push are not seen")
	}
}

// fill sends until the outbox is full and returns how many messages went.
func fill(t *testing.T, conn *Conn, from int) (sent int) {
	t.Helper()
	pad := string(bytes.Repeat([]byte("x"), 4000))
	for sent = from; ; sent++ {
		err := conn.TrySend("n", strconv.Itoa(sent), pad)
		if errors.Is(err, ErrFull) {
			return sent
		}
		if err != nil {
			t.Fatal(err)
		}
		if conn.Pending() > conn.server.opts.Limits.Outbox {
			t.Fatalf("%d bytes wait", conn.Pending())
		}
	}
}

func TestFull(t *testing.T) { engines(t, testFull) }

func testFull(t *testing.T, opts Options) {
	hub, met, gone := meetingHub()
	opts.Timeouts.Heartbeat = time.Hour
	opts.Timeouts.Client = -1
	h := start(t, hub, opts)

	t.Run("item143 full, order kept", func(t *testing.T) {
		c := h.dial()
		conn := await(t, met, "connection")
		sent := fill(t, conn, 0)
		waited := make(chan error, 1)
		big := string(bytes.Repeat([]byte("x"), 64<<10))
		go func() { waited <- conn.Send(context.Background(), "n", strconv.Itoa(sent), big) }()
		for i := range sent {
			want := fmt.Sprintf(`{"type":1,"target":"n","arguments":["%d",`, i)
			if got := c.next(); got[:len(want)] != want {
				t.Fatalf("message %d: %s", i, got[:60])
			}
		}
		if err := await(t, waited, "Send"); err != nil {
			t.Error(err)
		}
		c.expect(fmt.Sprintf(`{"type":1,"target":"n","arguments":["%d","%s"]}`, sent, big))
		c.nc.Close()
		await(t, gone, "end")
	})
	t.Run("item43 a client that does not read", func(t *testing.T) {
		c := h.dial()
		conn := await(t, met, "connection")
		fill(t, conn, 0)
		h.until("the timeout, once the kernel's buffers are full too", func() bool {
			h.passStuck(time.Second)
			return len(gone) > 0
		})
		if err := await(t, gone, "end"); !errors.Is(err, errSendTimeout) {
			t.Error(err)
		}
		c.nc.Close()
	})
	t.Run("a pause of the process is no stall of the client", func(t *testing.T) {
		c := h.dial()
		conn := await(t, met, "connection")
		fill(t, conn, 0)
		h.until("a write that the kernel does not take", func() bool {
			since := conn.out.stalledSince()
			h.ahead.Add(int64(time.Second))
			h.clock.Store(h.time())
			return since != 0 && conn.out.stalledSince() == since && conn.Pending() > h.opts.Limits.Outbox/2
		})
		h.ahead.Add(int64(3 * time.Hour)) // more than two heartbeats
		h.beat(h.time())                  // the first one behind the pause
		if conn.ending() {
			t.Error("got an end right behind the pause, want the wait for progress from scratch")
		}
		h.passStuck(h.opts.Timeouts.Send - time.Second)
		if conn.ending() {
			t.Error("got an end before the timeout, want the whole timeout behind a pause")
		}
		h.passStuck(2 * time.Second)
		if err := await(t, gone, "end"); !errors.Is(err, errSendTimeout) {
			t.Errorf("got %v, want %v", err, errSendTimeout)
		}
		c.nc.Close()
	})
	t.Run("a client that asks and does not read the answers", func(t *testing.T) {
		c := h.dial()
		conn := await(t, met, "connection")
		ask := []byte(`{"type":1,"invocationId":"1","target":"Echo","arguments":["` + string(bytes.Repeat([]byte("x"), 8000)) + `"]}` + "\x1e")
		wrote := make(chan struct{})
		go func() {
			defer close(wrote)
			for { // until the socket is closed
				if _, err := c.nc.Write(maskedFrame(finBit|opText, ask)); err != nil {
					return
				}
			}
		}()
		h.until("pause", conn.in.paused)
		if most := h.opts.Limits.Outbox + 2*len(ask); conn.Pending() > most {
			t.Errorf("%d bytes wait", conn.Pending())
		}
		c.nc.(*net.TCPConn).Close()
		<-wrote
		await(t, gone, "end")
	})
	t.Run("item143 one message above the bound", func(t *testing.T) {
		c := h.dial()
		conn := await(t, met, "connection")
		big := string(bytes.Repeat([]byte("x"), 1<<20))
		if err := conn.TrySend("big", big); err != nil {
			t.Error(err)
		}
		c.expect(`{"type":1,"target":"big","arguments":["` + big + `"]}`)
		c.nc.Close()
		await(t, gone, "end")
	})
}

func TestOrder(t *testing.T) {
	t.Attr("checklist", "item163")
	// item163: one goroutine's messages stay in order among those of others.
	hub, met, _ := meetingHub()
	h := start(t, hub, quiet())
	c := h.dial()
	conn := await(t, met, "connection")
	const writers, each = 8, 500
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := conn.Send(context.Background(), "n", w, i); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var next [writers]int
	for range writers * each {
		var m struct{ Arguments [2]int }
		if err := json.Unmarshal([]byte(c.next()), &m); err != nil {
			t.Fatal(err)
		}
		if w, i := m.Arguments[0], m.Arguments[1]; next[w] != i {
			t.Fatalf("writer %d: got %d, want %d", w, i, next[w])
		}
		next[m.Arguments[0]]++
	}
	wg.Wait()
}
