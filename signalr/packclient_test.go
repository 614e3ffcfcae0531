package signalr

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// packClient speaks MessagePack. What it sends and sees is written as JSON in tests.
type packClient struct {
	*client
	rest []byte
}

// dialPack opens a connection of the MessagePack protocol. JavaScript sends the handshake as text (item35).
func (h *harness) dialPack() *packClient {
	h.t.Helper()
	c := &packClient{client: h.open()}
	c.send(`{"protocol":"messagepack","version":1}` + "\x1e")
	if first, payload, err := c.readFrame(); err != nil || first != finBit|opBinary || string(payload) != "{}\x1e" {
		h.t.Fatalf("handshake: %x %q %v", first, payload, err)
	}
	return c
}

// msg sends messages in one frame.
func (c *packClient) msg(messages ...string) {
	c.t.Helper()
	var b []byte
	for _, m := range messages {
		body, err := AppendMessagePack(nil, json.RawMessage(m))
		if err != nil {
			c.t.Fatal(err)
		}
		b = append(b, framed(body)...)
	}
	c.frame(finBit|opBinary, b)
}

// body returns the next message that is no ping, as it came.
func (c *packClient) body() []byte {
	c.t.Helper()
	for {
		for len(c.rest) == 0 {
			first, payload, err := c.readFrame()
			if err != nil || first != finBit|opBinary {
				c.t.Fatalf("read: %x %q %v", first, payload, err)
			}
			c.rest = payload
		}
		record, size, err := packProtocol{}.next(c.rest, 0, -1)
		if err != nil || record == nil {
			c.t.Fatalf("%x does not begin with a whole message: %v", c.rest, err) // item37
		}
		c.rest = c.rest[size:]
		if !bytes.Equal(record, []byte{0x91, typePing}) {
			return record
		}
	}
}

// expect compares the next messages.
func (c *packClient) expect(want ...string) {
	c.t.Helper()
	for _, w := range want {
		got, err := appendJSONOfPack(nil, c.body())
		if err != nil {
			c.t.Fatal(err)
		}
		if string(got) != w {
			c.t.Fatalf("got  %s\nwant %s", got, w)
		}
	}
}

func TestPackConnection(t *testing.T) {
	hub := dispatchHub()
	h := start(t, hub, quiet())
	c := h.dialPack()
	for _, tc := range []struct{ name, target, args, want string }{
		{"item95 void", "Void", `[]`, `2`},
		{"item95 nil", "Nil", `[]`, `3,null`},
		{"item105 any case", "eCHO", `["x"]`, `3,"x"`},
		{"item101 wide numbers", "Echo", `[-70000]`, `3,-70000`},
		{"item102 maps", "Echo", `[{"a":[1,2.5,null]}]`, `3,{"a":[1,2.5,null]}`},
		{"item107 unknown", "Nope", `[]`, `1,"Failed to invoke 'Nope' due to an error on the server. HubException: Method does not exist."`},
		{"item108 too many", "One", `[1,2]`, `1,"Failed to invoke 'One' due to an error on the server."`},
		{"item108 wrong type", "Two", `[1,{}]`, `1,"Failed to invoke 'Two' due to an error on the server."`},
		{"item109 public", "Public", `[]`, `1,"An unexpected error occurred invoking 'Public' on the server. HubException: try <again>"`},
		{"item117 result cannot be encoded", "Bad", `[]`, `1,"An unexpected error occurred invoking 'Bad' on the server."`},
		{"raw", "Raw", `["x"]`, `3,["Raw",1,"` + "\xa1x" + `",true]`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c.msg(`[1,{},"7","` + tc.target + `",` + tc.args + `,[]]`)
			c.expect(strings.ToValidUTF8(`[3,{},"7",`+tc.want+`]`, "\uFFFD"))
		})
	}
	t.Run("item101 item125 item116 what belongs to nothing is ignored", func(t *testing.T) {
		c.msg(`[2,{},"1",1]`, `[3,{},"1",2]`, `[5,{},"1"]`, `[8,1]`, `[99,"x"]`, `[6]`, `[1,{},null,"Void",[],[],"more"]`, `[1,{},"7","Echo",[1]]`)
		c.expect(`[3,{},"7",3,1]`)
	})
	t.Run("item102 binary comes back as binary", func(t *testing.T) {
		body := packed(t, "96 01 80 a1 37 a4 4563686f 91 c4 03 00ff10 90")
		c.frame(finBit|opBinary, framed(body))
		if got := c.body(); !bytes.Equal(got, packed(t, "95 03 80 a1 37 03 c4 03 00ff10")) {
			t.Errorf("%x", got)
		}
	})
	t.Run("item164 sends before the completion", func(t *testing.T) {
		c.msg(`[1,{},"1","Sends",[],[]]`)
		c.expect(`[1,{},null,"a",[],[]]`, `[1,{},null,"b",[1,"x"],[]]`, `[3,{},"1",2]`)
	})
	t.Run("item36 a message over several frames", func(t *testing.T) {
		whole := framed(packed(t, "96 01 80 a1 37 a4 4563686f 91 2a 90"))
		for i := range whole {
			c.frame(finBit|opBinary, whole[i:i+1])
		}
		c.expect(`[3,{},"7",3,42]`)
	})
	t.Run("item97 item137 ping", func(t *testing.T) {
		h.pass(h.opts.Timeouts.KeepAlive)
		if _, payload, err := c.readFrame(); err != nil || !bytes.Equal(payload, []byte{2, 0x91, 6}) {
			t.Errorf("%x %v", payload, err)
		}
	})
	t.Run("item170 frames of several messages, counted", func(t *testing.T) {
		before := h.Stats().MessagesOut
		one, err := NewFrame("m", 1)
		if err != nil {
			t.Fatal(err)
		}
		many, err := AppendMessagePackInvocation(nil, "n", json.RawMessage(`{"a":1}`))
		if err != nil {
			t.Fatal(err)
		}
		if many, err = AppendMessagePackInvocation(many, "n"); err != nil {
			t.Fatal(err)
		}
		conn := h.only()
		if err = conn.TryWrite(one, MessagePackFrame(many).Or(JSONFrame([]byte("never")))); err != nil {
			t.Fatal(err)
		}
		c.expect(`[1,{},null,"m",[1],[]]`, `[1,{},null,"n",[{"a":1}],[]]`, `[1,{},null,"n",[],[]]`)
		if got := h.Stats().MessagesOut - before; got != 3 {
			t.Errorf("counted %d", got)
		}
		if conn.TryWrite(JSONFrame([]byte("x"))) == nil || conn.TrySend("x", make(chan int)) == nil {
			t.Error("what has no encoding was taken")
		}
	})
	t.Run("item98 item147 the client closes", func(t *testing.T) {
		c.msg(`[7,null]`)
		c.expect(`[7,null,false]`)
		c.expectClose(1000)
	})
}

// item104 item79 item142: what is no message closes its connection, and no other.
func TestPackClosed(t *testing.T) {
	h := start(t, dispatchHub(), Options{})
	for name, body := range map[string][]byte{
		"no array":     framed([]byte{6}),
		"empty":        framed(nil),
		"depth bomb":   framed(append(packed(t, "96 01 80 c0 a1 6d"), bytes.Repeat([]byte{0x91}, 30000)...)),
		"giant array":  framed(packed(t, "96 01 80 c0 a1 6d dd ffffffff c0 90")),
		"giant string": framed(packed(t, "96 01 80 c0 a1 6d 91 db ffffffff c0 90")),
		"cut off":      framed(packed(t, "96 01 80 c0")),
		"giant length": packed(t, "ff ff ff ff 07 96"),
		"long length":  packed(t, "ff ff ff ff ff ff"),
		"bad result":   framed(packed(t, "94 03 80 a1 78 09")),
	} {
		t.Run(name, func(t *testing.T) {
			c := h.dialPack()
			c.frame(finBit|opBinary, body)
			c.expect(`[7,"Connection closed with an error.",true]`)
			c.expectClose(1000)
		})
	}
	h.gone()
}

func TestProtocolsOption(t *testing.T) {
	t.Attr("checklist", "item68")
	h := start(t, NewHub(), Options{Protocols: []string{"json"}})
	h.dial()
	c := h.open()
	c.send(`{"protocol":"MessagePack","version":1}` + "\x1e")
	c.expect(`{"error":"The protocol 'MessagePack' is not supported."}`) // item68
	c.expectClose(1000)
}

// A connection of the MessagePack protocol outlives its socket, too.
func TestPackStatefulReconnect(t *testing.T) {
	t.Run("item99 item153 item157 replay, acknowledgement and upload across sockets", func(t *testing.T) {
		hub, met, _ := meetingHub()
		sums := make(chan int, 1)
		On1(hub, "Sum", func(c *Call, in Upload[int]) error {
			sum := 0
			for n, err := range in.All() {
				if err != nil {
					return err
				}
				sum += n
			}
			sums <- sum
			return nil
		})
		h := start(t, hub, keepingOptions())
		token := h.negotiate("?negotiateVersion=1&useStatefulReconnect=true")["connectionToken"].(string)
		attach := func() *packClient {
			c, resp := h.raw("?id=" + token)
			if resp.StatusCode != 101 {
				t.Fatal(resp.Status)
			}
			return &packClient{client: c}
		}
		c := attach()
		c.send(`{"protocol":"messagepack","version":2}` + "\x1e")
		if _, payload, err := c.readFrame(); err != nil || string(payload) != "{}\x1e" {
			t.Fatalf("%q %v", payload, err)
		}
		conn := await(t, met, "connection")
		for i := range 3 {
			if err := conn.TrySend("n", i); err != nil {
				t.Fatal(err)
			}
		}
		c.expect(`[1,{},null,"n",[0],[]]`)
		c.msg(`[1,{},null,"Sum",[],["a"]]`, `[2,{},"a",1]`, `[8,1]`) // the first push has come
		h.until("the acknowledgement", func() bool {
			conn.out.mu.Lock()
			defer conn.out.mu.Unlock()
			return conn.state.replay.first == 2
		})
		c = attach()
		c.expect(`[9,2]`, `[1,{},null,"n",[1],[]]`, `[1,{},null,"n",[2],[]]`)
		c.msg(`[9,2]`, `[2,{},"a",1]`, `[2,{},"a",40]`, `[3,{},"a",2]`) // the second message has come before
		if sum := await(t, sums, "the sum"); sum != 41 {
			t.Errorf("the sum is %d", sum)
		}
		h.pass(h.opts.Timeouts.Heartbeat)
		c.nc.Close()
		conn.Abort()
		h.gone()
	})
}
