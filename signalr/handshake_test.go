package signalr

import (
	"strings"
	"testing"
	"time"
)

func TestHandshake(t *testing.T) {
	t.Attr("checklist", "item38")
	hub, gone := echoHub()
	met := make(chan *Conn, 100)
	hub.OnConnected = func(c *Conn) error { met <- c; return nil }
	h := start(t, hub, quiet())

	ok := map[string]string{
		"item66 the usual":               hello,
		"item68 name in any case":        `{"protocol":"JSON","version":1}` + "\x1e",
		"item69 version 0":               `{"protocol":"json","version":0}` + "\x1e",
		"item69 version 2":               `{"protocol":"json","version":2}` + "\x1e",
		"item73 unknown properties":      `{"x":[{}],"version":1,"protocol":"json"}` + "\x1e",
		"order and space are the peer's": ` { "version" : 1 , "protocol" : "json" } ` + "\x1e",
	}
	for name, request := range ok {
		t.Run(name, func(t *testing.T) {
			c := h.open()
			c.send(request)
			c.expect("{}")
			await(t, met, "OnConnected")
			c.nc.Close()
			await(t, gone, "OnDisconnected")
		})
	}
	t.Run("item68 item69 MessagePack, name in any case, version 2", func(t *testing.T) {
		c := h.open()
		c.send(`{"protocol":"MessagePack","version":2}` + "\x1e")
		// item38: the reply is JSON all the same, in the frames of the protocol.
		if first, payload, err := c.readFrame(); err != nil || first != finBit|opBinary || string(payload) != "{}\x1e" {
			t.Errorf("%x %q %v", first, payload, err)
		}
		if conn := await(t, met, "OnConnected"); conn.Protocol() != "messagepack" {
			t.Errorf("speaks %s", conn.Protocol())
		}
		c.nc.Close()
		await(t, gone, "OnDisconnected")
	})
	const failed = `{"error":"An unexpected error occurred during connection handshake."}`
	for name, tc := range map[string][2]string{
		"item68 unknown protocol":         {`{"protocol":"x\"y","version":1}`, `{"error":"The protocol 'x\"y' is not supported."}`},
		"item69 version 3 of MessagePack": {`{"protocol":"messagepack","version":3}`, `{"error":"The server does not support version 3 of the 'messagepack' protocol."}`},
		"item69 version 3":                {`{"protocol":"json","version":3}`, `{"error":"The server does not support version 3 of the 'json' protocol."}`},
		"item70 bad JSON":                 {`{"protocol"`, failed},
		"item70 no object":                {`[]`, failed},
		"item70 nothing":                  {``, failed},
		"item70 missing version":          {`{"protocol":"json"}`, failed},
		"item70 missing protocol":         {`{"version":1}`, failed},
		"item70 null protocol":            {`{"version":1,"protocol":null}`, failed},
		"item70 hub message first":        {`{"type":6}`, failed},
		"item70 trailing text":            {`{"protocol":"json","version":1}x`, failed},
		"item71 too long":                 {`{"protocol":"json","version":1,"x":"` + strings.Repeat("x", 32768) + `"}`, `{"error":"Handshake was canceled."}`},
	} {
		t.Run(name, func(t *testing.T) {
			c := h.open()
			c.send(tc[0] + "\x1e" + `{"type":1,"invocationId":"1","target":"Echo","arguments":["never"]}` + "\x1e")
			c.expect(tc[1])
			c.expectClose(1000)
		})
	}
	t.Run("item71 timeout", func(t *testing.T) {
		h.gone()
		c := h.open()
		c.send(`{"protocol":"json",`)
		h.pass(14 * time.Second)
		if h.only().life.phase.Load() != phaseHandshake {
			t.Error("too early")
		}
		h.pass(time.Second)
		c.expect(`{"error":"Handshake was canceled."}`)
		c.expectClose(1000)
	})
	t.Run("item74 lost during handshake: no hook runs", func(t *testing.T) {
		c := h.open()
		c.nc.Close()
		sentinel := h.dial()
		await(t, met, "OnConnected of the next")
		sentinel.nc.Close()
		await(t, gone, "OnDisconnected of the next")
		h.gone()
		select {
		case <-met:
			t.Error("OnConnected ran")
		case <-gone:
			t.Error("OnDisconnected ran")
		default:
		}
	})
	t.Run("item74 no ping before the reply", func(t *testing.T) {
		c := h.open()
		h.pass(14 * time.Second)
		c.send(hello)
		first, payload, err := c.readFrame()
		if err != nil || first != finBit|opText || string(payload) != "{}\x1e" {
			t.Errorf("%x %q %v", first, payload, err)
		}
	})
}

func TestHandshakeDetailed(t *testing.T) {
	h := start(t, NewHub(), Options{DetailedErrors: true})
	c := h.open()
	c.send(`{"version":1}` + "\x1e")
	c.expect(`{"error":"An unexpected error occurred during connection handshake. InvalidDataException: Missing required property 'protocol'."}`)
}

func TestOnConnected(t *testing.T) {
	t.Run("item75 completes before the first message is dispatched, and others may send meanwhile", func(t *testing.T) {
		hub, _ := echoHub()
		met := make(chan *Conn)
		leave := make(chan struct{})
		hub.OnConnected = func(c *Conn) error {
			met <- c
			<-leave
			return c.TrySend("first")
		}
		h := start(t, hub, Options{Limits: Limits{ParallelInvocations: 2}})
		ask, answer := echo(1)
		c := h.open()
		c.send(hello + ask + "\x1e")
		c.expect("{}")
		conn := await(t, met, "OnConnected")
		if err := h.Conn(conn.ID()).TrySend("broadcast"); err != nil {
			t.Fatal(err)
		}
		c.expect(`{"type":1,"target":"broadcast","arguments":[]}`)
		close(leave)
		c.expect(`{"type":1,"target":"first","arguments":[]}`, answer)
	})
	t.Run("item146 failure closes without reconnect and without OnDisconnected", func(t *testing.T) {
		hub, gone := echoHub()
		hub.OnConnected = func(*Conn) error { return Errorf("not you") }
		h := start(t, hub, Options{})
		c := h.dial()
		c.expect(`{"type":7,"error":"Connection closed with an error. HubException: not you"}`)
		c.expectClose(1000)
		h.gone()
		if len(gone) > 0 {
			t.Error("OnDisconnected ran")
		}
	})
	t.Run("item146 panic", func(t *testing.T) {
		hub, _ := echoHub()
		hub.OnConnected = func(*Conn) error { panic("secret") }
		h := start(t, hub, Options{})
		c := h.dial()
		c.expect(`{"type":7,"error":"Connection closed with an error."}`)
		c.expectClose(1000)
	})
	t.Run("client leaves while it runs: OnDisconnected follows", func(t *testing.T) {
		hub, gone := echoHub()
		met := make(chan *Conn)
		leave := make(chan struct{})
		hub.OnConnected = func(c *Conn) error { met <- c; <-leave; return nil }
		h := start(t, hub, Options{})
		c := h.dial()
		conn := await(t, met, "OnConnected")
		c.nc.Close()
		<-conn.Context().Done()
		if len(gone) > 0 {
			t.Error("OnDisconnected ran before OnConnected returned")
		}
		close(leave)
		await(t, gone, "OnDisconnected")
	})
}
