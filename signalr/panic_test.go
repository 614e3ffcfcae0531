package signalr

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

// badEncoder is a result whose own encoder has.
type badEncoder struct{}

func (badEncoder) MarshalJSON() ([]byte, error) { panic("fault of the encoder") }

// badError is an error whose text has.
type badError struct{}

func (badError) Error() string { panic("fault of the error") }

// TestPanic_OfTheServer_EndsOneConnection plants faults where bytes of a client are handled.
func TestPanic_OfTheServer_EndsOneConnection(t *testing.T) {
	for name, plant := range map[string]func(c *Conn){
		"handling of a message": func(c *Conn) {
			c.in.mu.Lock()
			defer c.in.mu.Unlock()
			c.in.calls = &Call{id: "x", cancel: func(error) { panic("planted") }}
		},
		"framing of messages": func(c *Conn) {
			c.in.mu.Lock()
			defer c.in.mu.Unlock()
			c.in.in.scanned = 1 << 20
		},
		"frames": func(c *Conn) { c.link.(*webSocket).frames.have = maxHeaderSize },
	} {
		t.Run(name, func(t *testing.T) {
			engines(t, func(t *testing.T, opts Options) {
				panics := make(chan Panic, 10)
				var faulty atomic.Pointer[Conn]
				opts.OnPanic = func(p Panic) {
					faulty.Load().in.paused() // an application may use the connection, so no lock of it is held here
					panics <- p
				}
				hub, gone := echoHub()
				first := true
				hub.OnConnected = func(c *Conn) error {
					if first {
						faulty.Store(c)
						plant(c)
					}
					first = false
					return nil
				}
				h := start(t, hub, opts)
				victim := h.dial()
				h.until("OnConnected", func() bool { // or the fault is met at once
					all := h.registry.appendAll(nil)
					return len(panics) > 0 || len(all) == 1 && all[0].isConnected()
				})
				polite := h.dial()
				for range 3 { // what comes behind the fault finds nobody
					_, _ = victim.nc.Write(maskedFrame(finBit|opText, []byte(`{"type":5,"invocationId":"x"}`+"\x1e")))
				}
				victim.expectEnd()
				p := await(t, panics, "panic")
				if p.Application || p.Where == "" || p.Stack == "" || p.Connection == "" {
					t.Errorf("got %+v", p)
				}
				if err := await(t, gone, "OnDisconnected"); !errors.Is(err, errPanicked) {
					t.Errorf("ended by %v", err)
				}
				ask, answer := echo(1)
				polite.msg(ask)
				polite.expect(answer)
				h.until("the victim's end", func() bool { return h.Stats().Active == 1 })
				if n, want := h.Stats().Panics, int64(1+len(panics)); n != want {
					t.Errorf("%d panics are counted, want %d", n, want)
				}
			})
		})
	}
}

// TestPanic_OfTheApplication_FailsOneCall plants faults in what the application lends to a call.
func TestPanic_OfTheApplication_FailsOneCall(t *testing.T) {
	panics := make(chan Panic, 10)
	hub, _ := echoHub()
	Handle0(hub, "Encoder", func(*Call) (any, error) { return badEncoder{}, nil })
	Handle0(hub, "Error", func(*Call) (any, error) { return nil, badError{} })
	Handle0(hub, "Deferred", func(c *Call) (any, error) { c.Defer().Return(badEncoder{}); return nil, nil })
	h := start(t, hub, Options{DetailedErrors: true, OnPanic: func(p Panic) { panics <- p }})
	c := h.dial()
	for _, name := range []string{"Encoder", "Error", "Deferred"} {
		c.msg(`{"type":1,"invocationId":"1","target":"` + name + `","arguments":[]}`)
		if got := c.next(); !strings.HasPrefix(got, `{"type":3,"invocationId":"1","error":`) {
			t.Errorf("%s: got %s, want an error", name, got)
		}
		if p := await(t, panics, "panic"); !p.Application || p.Where != name {
			t.Errorf("%s: got a panic in %q, application: %v", name, p.Where, p.Application)
		}
	}
	ask, answer := echo(1)
	c.msg(ask)
	c.expect(answer)
}

// TestPanic_OfHooks_EndsOneRequest plants faults in the hooks that net/http's goroutines and the poller call.
func TestPanic_OfHooks_EndsOneRequest(t *testing.T) {
	panics := make(chan Panic, 10)
	hub, _ := echoHub()
	h := start(t, hub, Options{
		Authenticate: func(r *http.Request) (Identity, error) {
			if r.Header.Get("X-Fault") != "" {
				panic("fault of Authenticate")
			}
			return Identity{}, nil
		},
		ConnectionEnded: func(Ended) { panic("fault of ConnectionEnded") },
		OnPanic:         func(p Panic) { panics <- p; panic("fault of OnPanic") },
	})
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, h.web.URL+"/hub/negotiate", http.NoBody)
	req.Header.Set("X-Fault", "1")
	if resp, err := http.DefaultClient.Do(req); err == nil {
		resp.Body.Close()
		t.Errorf("got %d, want no answer", resp.StatusCode)
	}
	await(t, panics, "panic of Authenticate")
	c := h.dial()
	c.nc.Close()
	if p := await(t, panics, "panic of ConnectionEnded"); !p.Application {
		t.Errorf("got %+v", p)
	}
	h.gone()
	unharmed(h)
	await(t, panics, "panic of ConnectionEnded")
}

func TestPanic_OfTheBackplane_IsAnError(t *testing.T) {
	hub := NewHub()
	panics := make(chan Panic, 1)
	s := NewServer(hub, Options{Pollers: -1, OnPanic: func(p Panic) { panics <- p }})
	s.groups = nil
	to := Target{Kind: ToGroups, Names: []string{"g"}}
	message := appendPackArray(nil, 6)
	message = appendPackStrings(append(message, planeSend, byte(to.Kind)), to.Names)
	message = appendPackStrings(message, nil)
	message = appendPackBinary(appendPackBinary(message, []byte("x")), []byte("x"))
	if err := s.Deliver(context.Background(), message); !errors.Is(err, errPlane) {
		t.Errorf("got %v, want %v", err, errPlane)
	}
	await(t, panics, "panic")
}
