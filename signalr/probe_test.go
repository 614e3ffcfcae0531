package signalr

import (
	"context"
	"testing"
	"time"
)

// TestProbe_WebSocket_PongAnswers: the answer comes with the pong to the newest probe, once, and is no message of the client.
func TestProbe_WebSocket_PongAnswers(t *testing.T) {
	t.Parallel()
	hub, met, _ := meetingHub()
	h := start(t, hub, quiet())
	c := h.dial()
	conn := await(t, met, "connection")
	answers := make(chan int, 10)
	conn.Probe(func() { answers <- 1 })
	conn.Probe(func() { answers <- 2 })
	heard := conn.LastReceived()
	var pings [][]byte
	for range 2 {
		first, payload, err := c.readFrame()
		if err != nil || first != finBit|opPing {
			t.Fatalf("got frame %x %q, %v, want a ping", first, payload, err)
		}
		pings = append(pings, payload)
	}
	c.frame(finBit|opPong, pings[0])
	c.frame(finBit|opPong, []byte("unasked"))
	c.frame(finBit|opPong, pings[1])
	c.frame(finBit|opPong, pings[1])
	if got := await(t, answers, "answer"); got != 2 {
		t.Errorf("probe %d was answered, want the newest", got)
	}
	if got := conn.LastReceived(); got != heard {
		t.Error("a pong counts as a message of the client")
	}
	c.msg(`{"type":6}`)
	h.until("the ping of the hub", func() bool { return conn.LastReceived() > heard })
	if len(answers) > 0 {
		t.Error("a probe was answered twice")
	}
}

// TestProbe_LongPolling_NextPollAnswers: the poll that takes what waits is no answer; the one behind it is.
func TestProbe_LongPolling_NextPollAnswers(t *testing.T) {
	t.Parallel()
	hub, met, _ := meetingHub()
	h := start(t, hub, quiet())
	f := h.pollDial()
	conn := await(t, met, "connection")
	h.until("the answers of the handshake", func() bool { return conn.Pending() == 0 })
	answers := make(chan struct{}, 10)
	if err := conn.TrySend("News"); err != nil {
		t.Fatal(err)
	}
	conn.Probe(func() { answers <- struct{}{} })
	a := await(t, f.poll(context.Background()), "poll")
	if a.status != 200 || len(answers) > 0 {
		t.Fatalf("got %d %q and %d answers, want what waits and no answer", a.status, a.body, len(answers))
	}
	ctx, cancel := context.WithCancel(context.Background())
	next := f.poll(ctx)
	await(t, answers, "answer")
	cancel()
	await(t, next, "end of the poll")
}

// TestKeepAlive_OnlyFramesWithoutMessages_EndsAtTheTimeout: pings, pongs and empty fragments of a WebSocket come from network code, and
// neither an open connection nor an unfinished message lives on them.
func TestKeepAlive_OnlyFramesWithoutMessages_EndsAtTheTimeout(t *testing.T) {
	t.Parallel()
	frames := map[string][]byte{
		"pings": maskedFrame(finBit|opPing, []byte("there?")), "pongs": maskedFrame(finBit|opPong, nil), "empty messages": maskedFrame(finBit|opText, nil),
	}
	for name, frame := range frames {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, NewHub(), quiet())
			silent(t, h, h.dial(), frame)
		})
	}
	t.Run("empty fragments of an unfinished message", func(t *testing.T) {
		t.Parallel()
		h := start(t, NewHub(), quiet())
		c := h.dial()
		c.frame(opText, []byte(`{"type":1,`))
		silent(t, h, c, maskedFrame(opContinuation, nil))
	})
	t.Run("empty fragments in the handshake", func(t *testing.T) {
		t.Parallel()
		h := start(t, NewHub(), quiet())
		c := h.open()
		c.frame(opText, []byte(`{"protocol"`))
		silent(t, h, c, maskedFrame(opContinuation, nil))
	})
}

// silent lets a client send one frame in each second for a minute, and wants its connection to end.
func silent(t *testing.T, h *harness, c *client, frame []byte) {
	t.Helper()
	for range 60 {
		before := h.Stats().BytesIn
		if _, err := c.nc.Write(frame); err != nil {
			break
		}
		h.until("the frame", func() bool { s := h.Stats(); return s.Active == 0 || s.BytesIn > before })
		h.passStuck(time.Second)
	}
	c.expectEnd()
	h.gone()
}
