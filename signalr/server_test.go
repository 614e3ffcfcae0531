package signalr

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestShutdown(t *testing.T) {
	t.Run("item150 refuses first, then closes all with allowReconnect", func(t *testing.T) {
		hub, met, gone := meetingHub()
		h := start(t, hub, Options{Limits: Limits{DrainRate: 40}}) // two per step
		var clients []*client
		for range 6 {
			clients = append(clients, h.dial())
			await(t, met, "connection")
		}
		token := h.negotiate("?negotiateVersion=1")["connectionToken"].(string)
		done := make(chan error, 1)
		go func() { done <- h.Shutdown(context.Background()) }()
		h.until("draining", h.draining)
		if resp, _ := h.do("POST", "/hub/negotiate"); resp.StatusCode != 503 {
			t.Errorf("negotiate: %d", resp.StatusCode)
		}
		if _, resp := h.raw("?id=" + token); resp.StatusCode != 503 {
			t.Errorf("connect: %d", resp.StatusCode)
		}
		for _, c := range clients {
			c.expect(`{"type":7,"allowReconnect":true}`)
			c.expectClose(1000)
			if err := await(t, gone, "OnDisconnected"); err != nil {
				t.Error(err)
			}
		}
		if err := await(t, done, "Shutdown"); err != nil {
			t.Error(err)
		}
		if s := h.Stats(); s.Active != 0 || s.EndedShutdown != 6 {
			t.Errorf("%+v", s)
		}
	})
	t.Run("item150 bounded wait", func(t *testing.T) {
		hub, met, _ := meetingHub()
		h := start(t, hub, Options{})
		c := h.dial() // which never answers the close frame
		await(t, met, "connection")
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- h.Shutdown(ctx) }()
		c.expect(`{"type":7,"allowReconnect":true}`)
		cancel()
		if err := await(t, done, "Shutdown"); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := h.Run(context.Background()); !errors.Is(err, ErrServerStopped) {
			t.Error(err)
		}
	})
	t.Run("end of Run's context", func(t *testing.T) {
		hub, met, gone := meetingHub()
		s := NewServer(hub, Options{})
		ctx, cancel := context.WithCancel(context.Background())
		h := startWith(t, s)
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		c := h.dial()
		await(t, met, "connection")
		cancel()
		c.expect(`{"type":7,"allowReconnect":true}`)
		await(t, gone, "OnDisconnected")
		if err := await(t, done, "Run"); err != nil {
			t.Error(err)
		}
		c.expectEnd()
	})
}

func TestConnectionsLimit(t *testing.T) {
	ended := make(chan Ended, 1)
	h := start(t, NewHub(), Options{
		Limits:          Limits{Connections: 1},
		ConnectionEnded: func(e Ended) { ended <- e },
	})
	c := h.dial()
	if _, resp := h.raw(""); resp.StatusCode != 503 {
		t.Errorf("second: %d", resp.StatusCode)
	}
	c.nc.Close()
	if e := await(t, ended, "end"); e.Status != StatusNormal || e.Transport != "WebSockets" || e.Duration <= 0 {
		t.Errorf("%+v", e)
	}
	h.dial()
}

func TestUsers(t *testing.T) {
	var never time.Time
	hub, met, gone := meetingHub()
	h := start(t, hub, Options{Authenticate: fixedIdentity(&never)})
	clients := make(map[*Conn]*client)
	for range 4 {
		c := h.dial()
		clients[await(t, met, "connection")] = c
	}
	for n := 4; n > 0; n-- {
		conns := h.User("u").Conns()
		if len(conns) != n {
			t.Fatalf("%d connections, want %d", len(conns), n)
		}
		for _, c := range conns {
			if h.Conn(c.ID()) != c {
				t.Error("not found by id")
			}
		}
		clients[conns[n/2]].nc.Close()
		await(t, gone, "end")
	}
	if h.User("u").Len() != 0 || len(h.registry.users) != 0 || h.Conn("nobody") != nil {
		t.Error("user is still there")
	}
}
