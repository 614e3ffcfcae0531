package signalr

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

// tick is a frame of 38 bytes, 40 with its framing.
func tick(key string, n int) Frame {
	return JSONFrame([]byte(fmt.Sprintf("%s%036d\x1e", key, n))).Keyed(key)
}

// texts returns the frames that a stuckLink took, as key and number.
func (l *stuckLink) texts() (texts []string) {
	for part := range strings.SplitSeq(strings.Trim(l.taken.String(), "<>"), "><") {
		key, n := part[:1], strings.TrimLeft(strings.TrimSuffix(part[1:], "\x1e"), "0")
		texts = append(texts, key+n)
	}
	return texts
}

// slowConn returns an open connection whose outbox takes two ticks.
func slowConn(policy SlowPolicy) (*Conn, *stuckLink) {
	c, l := stuck(NewHub(), 100)
	c.server.opts.Slow = policy
	l.taken.Reset()
	return c, l
}

func TestSlowPolicies(t *testing.T) {
	t.Attr("checklist", "point3")
	send := func(t *testing.T, c *Conn, frames ...Frame) {
		t.Helper()
		for _, f := range frames {
			if err := c.TryWrite(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	takeAll := func(c *Conn, l *stuckLink) string {
		for c.Pending() > 0 {
			l.take(-1)
		}
		return strings.Join(l.texts(), " ")
	}

	t.Run("refuse", func(t *testing.T) {
		c, _ := slowConn(SlowRefuse)
		send(t, c, tick("a", 1), tick("a", 2))
		if err := c.TryWrite(tick("a", 3)); !errors.Is(err, ErrFull) {
			t.Error(err)
		}
	})
	t.Run("disconnect", func(t *testing.T) {
		c, l := slowConn(SlowDisconnect)
		send(t, c, tick("a", 1), tick("a", 2))
		if err := c.TryWrite(tick("a", 3)); !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
		l.take(-1)
		if got := l.taken.String(); !strings.HasSuffix(got, `<{"type":7,"error":"Connection closed with an error.","allowReconnect":true}`+"\x1e>bye|drained") {
			t.Error(got)
		}
		if !errors.Is(c.life.ending.err, errSlow) {
			t.Error(c.life.ending.err)
		}
	})
	t.Run("drop the oldest", func(t *testing.T) {
		c, l := slowConn(SlowDropOldest)
		for i := range 10 {
			send(t, c, tick("a", i+1)) // two in the outbox, two (of 38 bytes) behind it
			if n := c.Pending(); n > 200 {
				t.Errorf("%d bytes wait", n)
			}
		}
		if got := takeAll(c, l); got != "a1 a2 a9 a10" {
			t.Error(got)
		}
		if n := c.server.Stats().Dropped; n != 6 {
			t.Errorf("%d dropped", n)
		}
		send(t, c, tick("a", 11)) // and it goes on as usual
		if c.out.later != nil {
			t.Error("a backlog stays")
		}
		if got := takeAll(c, l); !strings.HasSuffix(got, "a10 a11") {
			t.Error(got)
		}
	})
	t.Run("keep the newest of each key", func(t *testing.T) {
		c, l := slowConn(SlowKeepNewest)
		send(t, c, tick("a", 1), tick("b", 1), tick("a", 2), tick("b", 2), tick("a", 3), tick("a", 4))
		if got := takeAll(c, l); got != "a1 b1 b2 a4" {
			t.Error(got)
		}
		l.taken.Reset()
		send(t, c, tick("a", 1), tick("b", 1), tick("c", 1), tick("d", 1), tick("e", 1), tick("e", 2)) // more keys than room
		if got := takeAll(c, l); got != "a1 b1 d1 e2" {
			t.Error(got)
		}
	})
	t.Run("keys mean nothing to the policy without them", func(t *testing.T) {
		c, l := slowConn(SlowDropOldest)
		send(t, c, tick("a", 1), tick("a", 2), tick("b", 3), tick("b", 4))
		if got := takeAll(c, l); got != "a1 a2 b3 b4" {
			t.Error(got)
		}
	})
	t.Run("answers are not dropped and stay in their place", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, l := slowConn(SlowDropOldest)
			send(t, c, tick("a", 1), tick("a", 2), tick("a", 3))
			if err := c.out.put([]byte("z1")); err != nil {
				t.Fatal(err)
			}
			send(t, c, tick("a", 4), tick("a", 5), tick("a", 6))
			if got := takeAll(c, l); got != "a1 a2 z1 a5 a6" {
				t.Error(got)
			}
		})
	})
	t.Run("Write waits behind what waits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			c, l := slowConn(SlowDropOldest)
			send(t, c, tick("a", 1), tick("a", 2), tick("a", 3))
			waited := make(chan error, 1)
			go func() { waited <- c.Write(context.Background(), tick("w", 1)) }()
			synctest.Wait()
			if len(waited) > 0 {
				t.Error("did not wait")
			}
			l.take(-1) // a3 moves up
			synctest.Wait()
			l.take(-1)
			synctest.Wait()
			if len(waited) != 1 || <-waited != nil {
				t.Error("waits for ever")
			}
			if got := takeAll(c, l); got != "a1 a2 a3 w1" {
				t.Error(got)
			}
		})
	})
	t.Run("item148 what waits behind it goes before the Close", func(t *testing.T) {
		c, l := slowConn(SlowDropOldest)
		send(t, c, tick("a", 1), tick("a", 2), tick("a", 3))
		c.Abort()
		l.take(-1)
		if got := l.taken.String(); strings.Count(got, "a0") != 3 || !strings.HasSuffix(got, "<{\"type\":7}\x1e>bye|drained") {
			t.Error(got)
		}
	})
}

func TestSlowAndStateful(t *testing.T) {
	opts := keepingOptions()
	opts.Slow = SlowDropOldest
	opts.Limits.Replay, opts.Limits.Outbox = 200, 200
	hub, met, gone := meetingHub()
	h := start(t, hub, opts)
	k := h.keep()
	conn := await(t, met, "connection")
	k.lose()
	h.push(1, 20) // of 40 or 41 bytes: five in the replay, four behind it
	k.attach()
	k.expect(`{"type":9,"sequenceId":1}`)
	k.expect(pushed(1, 5)...)
	k.msg(`{"type":9,"sequenceId":1}`, `{"type":8,"sequenceId":5}`)
	k.expect(pushed(17, 20)...)
	k.finish(conn, gone)
}

// A client that polls no more stands for a slow one: what it is sent waits.
func TestSlowBroadcast(t *testing.T) {
	t.Attr("checklist", "point3 item170")
	opts := quiet()
	opts.Slow = SlowKeepNewest
	opts.Limits.Outbox = 1000
	hub, met, _ := meetingHub()
	h := start(t, hub, opts)
	slow := h.pollDial()
	await(t, met, "the slow one")
	quick := h.dial()
	await(t, met, "the quick one")
	for i := range 100 {
		_, text := push(i)
		if err := h.All().TryWrite(JSONFrame([]byte(text + "\x1e")).Keyed("price")); err != nil {
			t.Fatal(err)
		}
		quick.expect(text)
	}
	var got []string
	for len(got) == 0 || got[len(got)-1] != pushed(99, 99)[0] {
		a := slow.do("GET", "")
		got = append(got, strings.Split(strings.TrimSuffix(a.body, "\x1e"), "\x1e")...)
	}
	if want := append(pushed(0, 23), pushed(99, 99)...); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the slow one got %q", got)
	}
	if err := h.All().TrySend("x", make(chan int)); err == nil {
		t.Error("what cannot be encoded was taken")
	}
}
