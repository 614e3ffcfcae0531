package signalr

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// dispatchHub has a method for each way a call can go.
func dispatchHub() *Hub {
	hub := NewHub()
	Handle0(hub, "Nil", func(*Call) (*int, error) { return nil, nil })
	On0(hub, "Void", func(*Call) error { return nil })
	Handle1(hub, "Echo", func(_ *Call, s any) (any, error) { return s, nil })
	On1(hub, "One", func(*Call, int) error { return nil })
	On2(hub, "Two", func(*Call, int, string) error { return nil })
	Handle0(hub, "Bad", func(*Call) (any, error) { return make(chan int), nil })
	On0(hub, "Fail", func(*Call) error { return errors.New("secret") })
	On0(hub, "Public", func(*Call) error { return fmt.Errorf("wrapped: %w", Errorf("try <again>")) })
	On0(hub, "Panic", func(*Call) error { panic("secret") })
	On0(hub, "NotYou", func(*Call) error { return ErrUnauthorized })
	On0(hub, "Sends", func(c *Call) error {
		return errors.Join(c.Conn().TrySend("a"), c.Conn().TrySend("b", 1, "x"))
	})
	hub.Handle("Raw", func(c *Call) (any, error) {
		return []any{c.Target(), c.Args().Len(), string(c.Args().Raw(0).Data), c.WantsResult()}, nil
	})
	return hub
}

func TestDispatch(t *testing.T) {
	const generic = "An unexpected error occurred invoking '%s' on the server."
	const failed = "Failed to invoke '%s' due to an error on the server."
	h := start(t, dispatchHub(), Options{})
	c := h.dial()
	for _, tc := range []struct{ name, target, args, want string }{
		{"item82 void", "Void", ``, `}`},
		{"item82 null result", "Nil", ``, `,"result":null}`},
		{"item105 any case", "eCHO", `"x"`, `,"result":"x"}`},
		{"item89 no HTML escaping", "Echo", `"<&>\u2028"`, ``},
		{"item107 unknown", "Nope", ``, `,"error":"` + fmt.Sprintf(failed, "Nope") + ` HubException: Method does not exist."}`},
		{"item105 lifecycle is not callable", "OnConnected", ``, `,"error":"` + fmt.Sprintf(failed, "OnConnected") + ` HubException: Method does not exist."}`},
		{"item108 too many", "One", `1,2`, `,"error":"` + fmt.Sprintf(failed, "One") + `"}`},
		{"item108 too few", "Two", `1`, `,"error":"` + fmt.Sprintf(failed, "Two") + `"}`},
		{"item108 wrong type", "Two", `1,{}`, `,"error":"` + fmt.Sprintf(failed, "Two") + `"}`},
		{"item109 withheld", "Fail", ``, `,"error":"` + fmt.Sprintf(generic, "Fail") + `"}`},
		{"item109 public", "Public", ``, `,"error":"` + fmt.Sprintf(generic, "Public") + ` HubException: try <again>"}`},
		{"item110 unauthorized", "NotYou", ``, `,"error":"Failed to invoke 'NotYou' because user is unauthorized"}`},
		{"item112 panic", "Panic", ``, `,"error":"` + fmt.Sprintf(generic, "Panic") + `"}`},
		{"item117 result cannot be encoded", "Bad", ``, `,"error":"` + fmt.Sprintf(generic, "Bad") + `"}`},
		{"raw", "raw", `{"a" : 1}`, `,"result":["Raw",1,"{\"a\" : 1}",true]}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c.msg(`{"type":1,"invocationId":"7","target":"` + tc.target + `","arguments":[` + tc.args + `]}`)
			got := c.next()
			if tc.want == "" {
				tc.want = ",\"result\":\"<&>\u2028\"}"
			}
			if got != `{"type":3,"invocationId":"7"`+tc.want {
				t.Errorf("got %s", got)
			}
		})
	}
	t.Run("item106 item80 non-blocking calls get no reply", func(t *testing.T) {
		for _, target := range []string{"Void", "Fail", "Nope", "Panic", "One", "Bad"} {
			c.msg(`{"type":1,"target":"`+target+`","arguments":[]}`,
				`{"type":1,"invocationId":null,"target":"`+target+`","arguments":[]}`,
				`{"type":1,"invocationId":"","target":"`+target+`","arguments":[]}`)
		}
		ask, answer := echo(9)
		c.msg(ask)
		c.expect(answer)
	})
	t.Run("item111 streaming invocation of a plain method", func(t *testing.T) {
		c.msg(`{"type":4,"invocationId":"s","target":"Void","arguments":[]}`)
		c.expect(`{"type":3,"invocationId":"s","error":"The client attempted to invoke the non-streaming 'Void' method with a streaming invocation."}`)
	})
	t.Run("item122 unexpected streams", func(t *testing.T) {
		c.msg(`{"type":1,"invocationId":"s","target":"Void","arguments":[],"streamIds":["1","2"]}`)
		c.expect(`{"type":3,"invocationId":"s","error":"` + fmt.Sprintf(generic, "Void") + ` HubException: Client sent 2 stream(s), Hub method expects 0."}`)
	})
	t.Run("item125 item116 item151 what belongs to nothing is ignored", func(t *testing.T) {
		c.msg(`{"type":2,"invocationId":"1","item":1}`, `{"type":3,"invocationId":"1"}`, `{"type":5,"invocationId":"1"}`,
			`{"type":8,"sequenceId":1}`, `{"type":9,"sequenceId":1}`, `{"type":99}`, `{"type":6}`)
		ask, answer := echo(9)
		c.msg(ask)
		c.expect(answer)
	})
	t.Run("item164 sends before the completion", func(t *testing.T) {
		c.msg(`{"type":1,"invocationId":"1","target":"Sends","arguments":[]}`)
		c.expect(`{"type":1,"target":"a","arguments":[]}`, `{"type":1,"target":"b","arguments":[1,"x"]}`, `{"type":3,"invocationId":"1"}`)
	})
}

func TestDispatchDetailed(t *testing.T) {
	h := start(t, dispatchHub(), Options{DetailedErrors: true})
	c := h.dial()
	for _, tc := range []struct{ target, args, want string }{
		{"One", `1,2`, "Failed to invoke 'One' due to an error on the server. InvalidDataException: Invocation provides 2 argument(s) but target expects 1."},
		{"One", `"x"`, "Failed to invoke 'One' due to an error on the server. InvalidDataException: Error binding arguments. Make sure that the types of the provided values match the types of the hub method being invoked."},
		{"Fail", ``, "An unexpected error occurred invoking 'Fail' on the server. errors.errorString: secret"},
	} {
		c.msg(`{"type":1,"invocationId":"7","target":"` + tc.target + `","arguments":[` + tc.args + `]}`)
		c.expect(`{"type":3,"invocationId":"7","error":"` + tc.want + `"}`)
	}
}

func TestHandle_SameTarget_Panics(t *testing.T) {
	t.Attr("checklist", "item105")
	defer func() {
		if recover() == nil {
			t.Error("item105: duplicate name was accepted")
		}
	}()
	hub := NewHub()
	On0(hub, "Name", func(*Call) error { return nil })
	On0(hub, "nAME", func(*Call) error { return nil })
}

func TestSequential(t *testing.T) {
	t.Attr("checklist", "item138")
	t.Run("item113 item165 one at a time, in order", func(t *testing.T) {
		hub := NewHub()
		var mu sync.Mutex
		running, most := 0, 0
		var order []int
		Handle1(hub, "Echo", func(_ *Call, s string) (string, error) {
			mu.Lock()
			running++
			most = max(most, running)
			order = append(order, len(order))
			mu.Unlock()
			defer func() { mu.Lock(); running--; mu.Unlock() }()
			return s, nil
		})
		h := start(t, hub, Options{})
		c := h.dial()
		var asks, answers []string
		for i := range 500 {
			ask, answer := echo(i)
			asks, answers = append(asks, ask), append(answers, answer)
		}
		c.msg(asks...)
		c.expect(answers...)
		if most != 1 {
			t.Errorf("%d ran at a time", most)
		}
	})
	t.Run("item113 N at a time, started in order, the rest waits", func(t *testing.T) {
		hub := NewHub()
		started := make(chan int, 10)
		leave := make(chan struct{})
		On1(hub, "Wait", func(_ *Call, i int) error { started <- i; <-leave; return nil })
		h := start(t, hub, Options{Limits: Limits{ParallelInvocations: 3}})
		c := h.dial()
		for i := range 5 {
			c.msg(fmt.Sprintf(`{"type":1,"invocationId":"%d","target":"Wait","arguments":[%d]}`, i, i))
		}
		seen := map[int]bool{}
		for range 3 {
			seen[await(t, started, "start")] = true
		}
		if !seen[0] || !seen[1] || !seen[2] {
			t.Errorf("started %v", seen)
		}
		c.frame(finBit|opPing, nil) // all input so far is handled when this is answered
		if first, _, err := c.readFrame(); first != finBit|opPong || err != nil {
			t.Fatal(first, err)
		}
		if len(started) != 0 {
			t.Error("a fourth was started")
		}
		close(leave)
		for range 5 {
			c.next()
		}
	})
	t.Run("item113 waiting input stops the reading", func(t *testing.T) {
		engines(t, func(t *testing.T, opts Options) {
			hub, _ := echoHub()
			leave, entered := make(chan struct{}), make(chan *Conn, 1)
			On0(hub, "Wait", func(c *Call) error { entered <- c.Conn(); <-leave; return nil })
			opts.Timeouts.Heartbeat = time.Hour
			h := start(t, hub, opts)
			c := h.dial()
			c.msg(`{"type":6}`, `{"type":1,"target":"Wait","arguments":[]}`)
			conn := await(t, entered, "call")
			const many = 20000
			wrote := make(chan struct{})
			go func() {
				defer close(wrote)
				for i := range many {
					ask, _ := echo(i)
					if _, err := c.nc.Write(maskedFrame(finBit|opText, []byte(ask+"\x1e"))); err != nil {
						t.Error(err)
						return
					}
				}
			}()
			h.until("pause", conn.in.paused)
			conn.in.mu.Lock()
			left := conn.in.in.left()
			conn.in.mu.Unlock()
			if most := h.opts.Limits.Inbox + 64<<10; left > most {
				t.Errorf("%d bytes wait", left)
			}
			// item138: silence while all slots are busy does not count.
			h.pass(10 * time.Minute)
			if conn.life.phase.Load() != phaseOpen {
				t.Error("timed out while the server was busy")
			}
			close(leave)
			for i := range many {
				_, answer := echo(i)
				c.expect(answer)
			}
			<-wrote
		})
	})
}

func TestDefer(t *testing.T) {
	hub, gone := echoHub()
	calls := make(chan *Deferred, 10)
	On0(hub, "Later", func(c *Call) error { calls <- c.Defer(); return nil })
	On0(hub, "DeferAndFail", func(c *Call) error { c.Defer(); return Errorf("after all") })
	h := start(t, hub, Options{Limits: Limits{Deferred: 2}})
	c := h.dial()
	ask, answer := echo(1)

	t.Run("releases the slot", func(t *testing.T) {
		c.msg(`{"type":1,"invocationId":"a","target":"Later","arguments":[]}`, ask)
		c.expect(answer)
		d := await(t, calls, "call")
		d.Return(5)
		d.Return(6)
		d.Error(errors.New("too late"))
		c.expect(`{"type":3,"invocationId":"a","result":5}`)
		c.msg(ask)
		c.expect(answer)
	})
	t.Run("error", func(t *testing.T) {
		c.msg(`{"type":1,"invocationId":"a","target":"Later","arguments":[]}`)
		await(t, calls, "call").Error(Errorf("try_again"))
		c.expect(`{"type":3,"invocationId":"a","error":"An unexpected error occurred invoking 'Later' on the server. HubException: try_again"}`)
		c.msg(`{"type":1,"invocationId":"b","target":"DeferAndFail","arguments":[]}`)
		c.expect(`{"type":3,"invocationId":"b","error":"An unexpected error occurred invoking 'DeferAndFail' on the server. HubException: after all"}`)
	})
	t.Run("is bounded", func(t *testing.T) {
		later := `{"type":1,"target":"Later","arguments":[]}`
		c.msg(later, later, ask)
		one, two := await(t, calls, "call"), await(t, calls, "call")
		c.frame(finBit|opPing, nil)
		if first, _, err := c.readFrame(); first != finBit|opPong || err != nil {
			t.Fatal("the third call was answered", first, err)
		}
		one.Return(nil)
		c.expect(answer)
		two.Return(nil)
	})
	t.Run("after the end", func(t *testing.T) {
		c.msg(`{"type":1,"invocationId":"a","target":"Later","arguments":[]}`)
		d := await(t, calls, "call")
		c.nc.Close()
		await(t, gone, "OnDisconnected, which does not wait for the call")
		d.Return(1)
	})
}

func TestCallContext(t *testing.T) {
	hub, _ := echoHub()
	entered := make(chan *Call, 1)
	Handle0(hub, "Wait", func(c *Call) (string, error) {
		ctx := c.Context()
		entered <- c
		<-ctx.Done()
		return context.Cause(ctx).Error(), nil
	})
	h := start(t, hub, Options{})

	t.Run("item116 the client cancels", func(t *testing.T) {
		c := h.dial()
		c.msg(`{"type":1,"invocationId":"a","target":"Wait","arguments":[]}`)
		await(t, entered, "call")
		c.msg(`{"type":5,"invocationId":"unknown"}`, `{"type":5,"invocationId":"a"}`)
		if got := c.next(); !strings.Contains(got, "canceled by the client") {
			t.Error(got)
		}
	})
	t.Run("item171 the connection ends", func(t *testing.T) {
		c := h.dial()
		c.msg(`{"type":1,"invocationId":"a","target":"Wait","arguments":[]}`)
		call := await(t, entered, "call")
		c.nc.Close()
		<-call.Context().Done()
	})
}
