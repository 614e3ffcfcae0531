package signalr

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"
)

// streamHub streams in every way there is.
func streamHub() *Hub {
	hub := NewHub()
	Stream1(hub, "Count", func(_ *Call, n int) (iter.Seq2[int, error], error) {
		return func(yield func(int, error) bool) {
			for i := range n {
				if !yield(i, nil) {
					return
				}
			}
		}, nil
	})
	Stream0(hub, "FailsLater", func(*Call) (iter.Seq2[string, error], error) {
		return func(yield func(string, error) bool) {
			_ = yield("a", nil) && yield("b", nil) && yield("", Errorf("no more"))
		}, nil
	})
	Stream0(hub, "FailsSecretly", func(*Call) (iter.Seq2[int, error], error) {
		return func(yield func(int, error) bool) { _ = yield(1, nil) && yield(0, errors.New("secret")) }, nil
	})
	Stream0(hub, "FailsAtOnce", func(*Call) (iter.Seq2[int, error], error) { return nil, Errorf("not now") })
	Stream0(hub, "Nil", func(*Call) (iter.Seq2[int, error], error) { return nil, nil })
	Stream0(hub, "Panics", func(*Call) (iter.Seq2[int, error], error) {
		return func(yield func(int, error) bool) { yield(1, nil); panic("secret") }, nil
	})
	Stream0(hub, "Bad", func(*Call) (iter.Seq2[any, error], error) {
		return func(yield func(any, error) bool) { _ = yield(nil, nil) && yield(make(chan int), nil) }, nil
	})
	hub.HandleStream("Raw", func(c *Call) (iter.Seq2[any, error], error) {
		ch := make(chan any, 2)
		ch <- c.Args().Len()
		ch <- "end"
		close(ch)
		return FromChannel(c.Context(), ch), nil
	})
	Handle1(hub, "Echo", func(_ *Call, s string) (string, error) { return s, nil })
	Stream2(hub, "Times", func(_ *Call, by int, in Upload[int]) (iter.Seq2[int, error], error) {
		return func(yield func(int, error) bool) {
			for n, err := range in.All() {
				if !yield(n*by, err) {
					return
				}
			}
		}, nil
	})
	Handle3(hub, "Sum", func(c *Call, a Upload[int], factor int, b Upload[int]) (sum int, err error) {
		for _, in := range []Upload[int]{a, b} {
			for n, err := range in.All() {
				if err != nil {
					return 0, err
				}
				sum += n * factor
			}
		}
		return sum, nil
	})
	return hub
}

func call4(id, target, args string) string {
	return `{"type":4,"invocationId":"` + id + `","target":"` + target + `","arguments":[` + args + `]}`
}

func item(id string, v any) string {
	return fmt.Sprintf(`{"type":2,"invocationId":"%s","item":%v}`, id, v)
}

func TestStream(t *testing.T) {
	h := start(t, streamHub(), quiet())
	c := h.dial()
	const streaming = "An error occurred on the server while streaming results."
	const generic = "An unexpected error occurred invoking '%s' on the server."
	failed := func(text string) string { return `{"type":3,"invocationId":"s","error":"` + text + `"}` }
	for _, tc := range []struct {
		name, target, args string
		want               []string
	}{
		{"item118 items in order, then one completion", "Count", "3", []string{item("s", 0), item("s", 1), item("s", 2), `{"type":3,"invocationId":"s"}`}},
		{"item118 no items", "Count", "0", []string{`{"type":3,"invocationId":"s"}`}},
		{"item119 error after items", "FailsLater", "", []string{item("s", `"a"`), item("s", `"b"`), failed(streaming + " HubException: no more")}},
		{"item119 error withheld", "FailsSecretly", "", []string{item("s", 1), failed(streaming)}},
		{"item119 error before items", "FailsAtOnce", "", []string{failed(fmt.Sprintf(generic, "FailsAtOnce") + " HubException: not now")}},
		{"item119 nil", "Nil", "", []string{failed("The value returned by the streaming method 'Nil' is not a ChannelReader<> or IAsyncEnumerable<>.")}},
		{"item112 panic", "Panics", "", []string{item("s", 1), failed(streaming)}},
		{"item81 item117 null, and what cannot be encoded", "Bad", "", []string{item("s", "null"), failed(streaming)}},
		{"item108 wrong arguments", "Count", `"x"`, []string{failed("Failed to invoke 'Count' due to an error on the server.")}},
		{"item107 unknown", "Nope", "", []string{failed("Failed to invoke 'Nope' due to an error on the server. HubException: Method does not exist.")}},
		{"channel", "Raw", "7,8", []string{item("s", 2), item("s", `"end"`), `{"type":3,"invocationId":"s"}`}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c.t = t
			c.msg(call4("s", tc.target, tc.args))
			c.expect(tc.want...)
		})
	}
	c.t = t
	t.Run("item111 wrong kind of invocation", func(t *testing.T) {
		c.msg(`{"type":1,"invocationId":"s","target":"Count","arguments":[1]}`, call4("s", "Echo", `"x"`))
		c.expect(failed("The client attempted to invoke the streaming 'Count' method with a non-streaming invocation."),
			failed("The client attempted to invoke the non-streaming 'Echo' method with a streaming invocation."))
	})
	t.Run("item94 item118 MessagePack", func(t *testing.T) {
		p := h.dialPack()
		p.msg(`[4,{},"s","Count",[2],[]]`)
		p.expect(`[2,{},"s",0]`, `[2,{},"s",1]`, `[3,{},"s",2]`)
	})
}

// endless streams numbers until its context ends, which is how a producer learns that nobody listens.
func endless(hub *Hub) (left chan error) {
	left = make(chan error, 10)
	Stream0(hub, "Endless", func(c *Call) (iter.Seq2[int, error], error) {
		return func(yield func(int, error) bool) {
			for i := 0; ; i++ {
				if !yield(i, nil) {
					left <- context.Cause(c.Context())
					return
				}
			}
		}, nil
	})
	pad := strings.Repeat("x", 4000) // fills the kernel's buffers soon
	Stream0(hub, "Heavy", func(c *Call) (iter.Seq2[string, error], error) {
		return func(yield func(string, error) bool) {
			for i := 0; yield(fmt.Sprint(i, pad), nil); i++ {
			}
			left <- context.Cause(c.Context())
		}, nil
	})
	Stream0(hub, "Silent", func(c *Call) (iter.Seq2[int, error], error) {
		return func(yield func(int, error) bool) {
			<-c.Context().Done()
			left <- context.Cause(c.Context())
			yield(0, context.Cause(c.Context()))
		}, nil
	})
	return left
}

func TestStreamEnds(t *testing.T) {
	hub, _ := echoHub()
	left := endless(hub)
	h := start(t, hub, quiet())
	ask, answer := echo(1)

	t.Run("item116 cancel ends the items, and the completion has no error", func(t *testing.T) {
		c := h.dial()
		c.msg(call4("s", "Endless", ""))
		c.expect(item("s", 0))
		c.msg(`{"type":5,"invocationId":"s"}`)
		for got := ""; !strings.HasPrefix(got, `{"type":3`); {
			if got = c.next(); strings.Contains(got, "error") {
				t.Fatal(got)
			}
		}
		await(t, left, "end of the producer")
		c.msg(ask)
		c.expect(answer)
	})
	t.Run("item114 item120 streams block no other call", func(t *testing.T) {
		c := h.dial()
		c.msg(call4("a", "Silent", ""), call4("b", "Silent", ""), ask)
		c.expect(answer)
		t.Run("item115 an id that is in use", func(t *testing.T) {
			c.msg(call4("a", "Silent", ""))
			c.expect(`{"type":3,"invocationId":"a","error":"Invocation ID 'a' is already in use."}`)
			if len(left) > 0 {
				t.Error("the first was affected")
			}
		})
		c.msg(`{"type":5,"invocationId":"b"}`)
		c.expect(`{"type":3,"invocationId":"b"}`)
		if err := await(t, left, "end"); !errors.Is(err, errCanceledByClient) {
			t.Error(err)
		}
		c.msg(call4("b", "Silent", "")) // the id is free again
		c.msg(ask)
		c.expect(answer)
		c.nc.Close()
		for range 2 {
			if err := await(t, left, "end with the connection"); !errors.Is(err, ErrClosed) {
				t.Error(err)
			}
		}
	})
	t.Run("item120 a slow client slows the producer", func(t *testing.T) {
		c := h.dial()
		c.msg(call4("s", "Heavy", ""))
		var conn *Conn
		h.until("full outbox", func() bool {
			for _, conn = range h.registry.appendAll(nil) {
				conn.out.mu.Lock()
				owed := conn.out.owed
				conn.out.mu.Unlock()
				if owed {
					return true
				}
			}
			return false
		})
		if n := conn.Pending(); n > 2*h.opts.Limits.Outbox {
			t.Errorf("%d bytes wait", n)
		}
		for i := range 3000 {
			c.expect(item("s", `"`+fmt.Sprint(i, strings.Repeat("x", 4000))+`"`))
		}
		c.nc.Close()
		await(t, left, "end of the producer")
	})
	t.Run("bounded", func(t *testing.T) {
		h := start(t, hub, Options{Limits: Limits{Streams: 2}, Timeouts: Timeouts{Heartbeat: time.Hour}})
		c := h.dial()
		c.msg(call4("a", "Silent", ""), call4("b", "Silent", ""), call4("c", "Silent", ""))
		c.expect(`{"type":3,"invocationId":"c","error":"An unexpected error occurred invoking 'Silent' on the server. HubException: Too many streams are open on this connection: 2, the limit (Limits.Streams)."}`)
		c.msg(`{"type":5,"invocationId":"a"}`)
		c.expect(`{"type":3,"invocationId":"a"}`)
	})
}

func TestUpload(t *testing.T) {
	h := start(t, streamHub(), quiet())
	c := h.dial()
	sum := func(id string, streams ...string) string {
		return `{"type":1,"invocationId":"` + id + `","target":"Sum","arguments":[10],"streamIds":["` + strings.Join(streams, `","`) + `"]}`
	}
	done := func(id string) string { return `{"type":3,"invocationId":"` + id + `"}` }
	failed := func(id, text string) string {
		return `{"type":3,"invocationId":"` + id + `","error":"An unexpected error occurred invoking 'Sum' on the server.` + text + `"}`
	}
	t.Run("item121 item128 two streams in one call", func(t *testing.T) {
		c.msg(sum("1", "a", "b"), item("a", 1), item("b", 3), item("a", 2), done("b"), done("a"))
		c.expect(`{"type":3,"invocationId":"1","result":60}`)
		t.Run("item123 ids can be used again", func(t *testing.T) {
			c.msg(sum("2", "a", "b"), done("a"), done("b"))
			c.expect(`{"type":3,"invocationId":"2","result":0}`)
		})
	})
	t.Run("item121 the client ends it by an error", func(t *testing.T) {
		c.msg(sum("1", "a", "b"), item("a", 1), `{"type":3,"invocationId":"a","error":"it <broke>"}`)
		c.expect(failed("1", " HubException: it <broke>"))
	})
	t.Run("item122 count", func(t *testing.T) {
		c.msg(sum("1", "x"), `{"type":1,"invocationId":"2","target":"Sum","arguments":[10]}`, `{"type":1,"invocationId":"3","target":"Echo","arguments":["x"],"streamIds":["1","2"]}`)
		var got []string
		for range 3 {
			got = append(got, c.next())
		}
		all := strings.Join(got, "\n")
		for _, want := range []string{
			failed("1", " HubException: Client sent 1 stream(s), Hub method expects 2."), failed("2", " HubException: Client sent 0 stream(s), Hub method expects 2."),
			"invoking 'Echo' on the server. HubException: Client sent 2 stream(s), Hub method expects 0.",
		} {
			if !strings.Contains(all, want) {
				t.Errorf("%s is not in %s", want, all)
			}
		}
	})
	t.Run("item123 id in use", func(t *testing.T) {
		c.msg(sum("1", "a", "b"), sum("2", "c", "b"))
		c.expect(failed("2", " HubException: Stream ID 'b' is already in use."))
		c.msg(sum("3", "c", "c"))
		c.expect(failed("3", " HubException: Stream ID 'c' is already in use."))
		c.msg(item("a", 1), done("a"), done("b"))
		c.expect(`{"type":3,"invocationId":"1","result":10}`)
	})
	t.Run("item125 items of streams that are not", func(t *testing.T) {
		c.msg(item("zzz", 1), done("zzz"), item("a", 1), done("a"), `{"type":1,"invocationId":"1","target":"Echo","arguments":["x"]}`)
		c.expect(`{"type":3,"invocationId":"1","result":"x"}`)
	})
	t.Run("item126 item of the wrong type", func(t *testing.T) {
		c.msg(sum("1", "a", "b"), item("a", `"x"`))
		c.expect(failed("1", ""))
		c.msg(item("a", 1), item("b", 1), sum("2", "a", "b"), done("a"), done("b"))
		c.expect(`{"type":3,"invocationId":"2","result":0}`)
	})
	t.Run("item128 up and down in one call, as they arrive", func(t *testing.T) {
		c.msg(`{"type":4,"invocationId":"s","target":"Times","arguments":[2],"streamIds":["a"]}`, item("a", 1))
		c.expect(item("s", 2))
		c.msg(item("a", 4))
		c.expect(item("s", 8))
		c.msg(done("a"))
		c.expect(done("s"))
	})
	t.Run("item121 MessagePack", func(t *testing.T) {
		p := h.dialPack()
		p.msg(`[1,{},"1","Sum",[10],["a","b"]]`, `[2,{},"a",1]`, `[2,{},"b",2]`, `[3,{},"a",2]`, `[3,{},"b",2]`)
		p.expect(`[3,{},"1",3,30]`)
		p.msg(`[1,{},"1","Sum",[10],["a","b"]]`, `[3,{},"a",1,"no"]`)
		p.expect(`[3,{},"1",1,"An unexpected error occurred invoking 'Sum' on the server. HubException: no"]`)
	})
}

// TestUploadPressure sends more than anybody reads.
func TestUploadPressure(t *testing.T) {
	t.Attr("checklist", "item138")
	hub, _ := echoHub()
	read := make(chan Upload[string], 1)
	leave := make(chan struct{})
	ended := make(chan error, 1)
	On1(hub, "Hold", func(c *Call, in Upload[string]) error { read <- in; <-leave; return nil })
	On1(hub, "Drain", func(c *Call, in Upload[string]) error {
		_, err := in.Recv(context.Background())
		ended <- err
		return nil
	})
	h := start(t, hub, quiet())
	ask, answer := echo(1)
	paused := func(conn *Conn) func() bool {
		return func() bool {
			conn.in.mu.Lock()
			defer conn.in.mu.Unlock()
			return conn.in.item != nil
		}
	}
	only := func() *Conn {
		h.until("one connection", func() bool { return h.Stats().Active == 1 })
		return h.registry.appendAll(nil)[0]
	}
	t.Run("item124 ten items wait, then the reading pauses", func(t *testing.T) {
		c := h.dial()
		c.msg(`{"type":1,"target":"Hold","arguments":[],"streamIds":["a"]}`)
		in := await(t, read, "call")
		for i := range 11 {
			c.msg(item("a", fmt.Sprintf(`"%d"`, i)))
		}
		c.msg(ask)
		conn := only()
		h.until("pause", paused(conn))
		if n := len(in.from.items); n != 10 {
			t.Errorf("%d items wait", n)
		}
		h.pass(10 * time.Minute) // item138: the client's silence is not its fault
		if got, err := in.Recv(t.Context()); err != nil || got != "0" {
			t.Error(got, err)
		}
		c.expect(answer)
		t.Run("item127 the handler returns: what waits is released", func(t *testing.T) {
			for range 5 {
				c.msg(item("a", `"more"`))
			}
			h.until("pause", paused(conn))
			leave <- struct{}{}
			c.msg(ask)
			c.expect(answer)
			conn.extras().uploads.mu.Lock()
			defer conn.extras().uploads.mu.Unlock()
			if conn.extras().uploads.bytes != 0 || len(conn.extras().uploads.byID) != 0 {
				t.Errorf("%d bytes of %d streams are kept", conn.extras().uploads.bytes, len(conn.extras().uploads.byID))
			}
		})
		c.nc.Close()
		h.gone()
	})
	t.Run("item104 bounded in bytes", func(t *testing.T) {
		c := h.dial()
		c.msg(`{"type":1,"target":"Hold","arguments":[],"streamIds":["a"]}`)
		in := await(t, read, "call")
		big := item("a", `"`+strings.Repeat("x", 30000)+`"`)
		for range 4 {
			c.msg(big)
		}
		conn := only()
		h.until("pause", paused(conn))
		conn.extras().uploads.mu.Lock()
		if n := conn.extras().uploads.bytes; n > h.opts.Limits.Inbox || len(in.from.items) != 2 {
			t.Errorf("%d bytes in %d items wait", n, len(in.from.items))
		}
		conn.extras().uploads.mu.Unlock()
		leave <- struct{}{}
		c.msg(ask)
		c.expect(answer)
		c.nc.Close()
		h.gone()
	})
	t.Run("item127 the connection ends", func(t *testing.T) {
		c := h.dial()
		c.msg(`{"type":1,"target":"Drain","arguments":[],"streamIds":["a"]}`, ask)
		c.expect(answer)
		c.nc.Close()
		if err := await(t, ended, "end of the reader"); err == nil || err.Error() != "The underlying connection was closed." {
			t.Error(err)
		}
		h.gone()
	})
}
