package conformance

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync/atomic"

	"github.com/esh3artech/esh3ar/signalr"
)

// notes is what a connection has noted, in order. Calls of one connection run one at a time; streams run beside them.
type notes struct {
	list     []int
	canceled atomic.Int64 // endless streams that have ended

	published chan int // what the stream of Subscribe brings; nil before
}

// testHub has a method for each thing that the cases of the clients ask for.
func testHub() *signalr.Hub {
	hub := signalr.NewHub()
	hub.OnConnected = func(c *signalr.Conn) error {
		c.SetValue(&notes{list: []int{}})
		return nil
	}
	values(hub)
	faults(hub)
	sends(hub)
	streams(hub)
	requests(hub)
	targets(hub)
	ends(hub)
	return hub
}

func values(hub *signalr.Hub) {
	signalr.Handle1(hub, "Echo", func(_ *signalr.Call, v any) (any, error) { return v, nil })
	signalr.Handle2(hub, "Add", func(_ *signalr.Call, a, b int) (int, error) { return a + b, nil })
	signalr.Handle1(hub, "Long", func(_ *signalr.Call, n int) (string, error) { return strings.Repeat("l", n), nil })
	signalr.On0(hub, "Void", func(*signalr.Call) error { return nil })
	signalr.Handle0(hub, "Nil", func(*signalr.Call) (any, error) { return nil, nil })
	signalr.Handle0(hub, "Transport", func(c *signalr.Call) (string, error) { return c.Conn().Transport(), nil })
	signalr.Handle0(hub, "Protocol", func(c *signalr.Call) (string, error) { return c.Conn().Protocol(), nil })
	signalr.Handle0(hub, "WhoAmI", func(c *signalr.Call) (string, error) { return c.Conn().UserID(), nil })
}

func faults(hub *signalr.Hub) {
	signalr.On0(hub, "Fail", func(*signalr.Call) error { return errors.New("secret") })
	signalr.On0(hub, "Public", func(*signalr.Call) error { return signalr.Errorf("try <again>") })
	signalr.On0(hub, "Panic", func(*signalr.Call) error { panic("secret") })
	signalr.On0(hub, "NotYou", func(*signalr.Call) error { return signalr.ErrUnauthorized })
}

func sends(hub *signalr.Hub) {
	signalr.On1(hub, "Note", func(c *signalr.Call, n int) error {
		list := c.Conn().Value().(*notes)
		list.list = append(list.list, n)
		return nil
	})
	signalr.Handle0(hub, "Notes", func(c *signalr.Call) ([]int, error) { return c.Conn().Value().(*notes).list, nil })
	signalr.On2(hub, "SayBack", func(c *signalr.Call, text string, v any) error {
		return c.Conn().Send(c.Context(), "Said", text, v)
	})
	signalr.Handle1(hub, "Burst", func(c *signalr.Call, n int) (int, error) {
		for i := range n {
			if err := c.Conn().Send(c.Context(), "Item", i, strings.Repeat("x", i%700)); err != nil {
				return i, err
			}
		}
		return n, nil
	})
}

func ends(hub *signalr.Hub) {
	signalr.On0(hub, "Abort", func(c *signalr.Call) error { c.Conn().Abort(); return nil })
	signalr.On2(hub, "CloseWith", func(c *signalr.Call, text string, again bool) error {
		c.Conn().Close(text, again)
		return nil
	})
}

func streams(hub *signalr.Hub) {
	signalr.Stream1(hub, "Count", func(_ *signalr.Call, n int) (iter.Seq2[int, error], error) { return count(n, nil), nil })
	signalr.Stream0(hub, "CountAndFail", func(*signalr.Call) (iter.Seq2[int, error], error) {
		return count(2, signalr.Errorf("no more")), nil
	})
	signalr.Stream0(hub, "Forever", func(c *signalr.Call) (iter.Seq2[int, error], error) {
		mine := c.Conn().Value().(*notes)
		never := make(chan int)
		return func(yield func(int, error) bool) {
			defer mine.canceled.Add(1)
			_ = yield(0, nil)
			for range signalr.FromChannel(c.Context(), never) {
				break // it does not come to this: the context ends first
			}
		}, nil
	})
	signalr.Stream0(hub, "Subscribe", func(c *signalr.Call) (iter.Seq2[int, error], error) {
		mine := c.Conn().Value().(*notes)
		mine.published = make(chan int, 1000)
		return signalr.FromChannel(c.Context(), mine.published), nil
	})
	signalr.On1(hub, "Publish", func(c *signalr.Call, n int) error {
		mine := c.Conn().Value().(*notes)
		if mine.published == nil {
			return signalr.Errorf("no stream is subscribed")
		}
		mine.published <- n // has room: the cases publish less
		return nil
	})
	signalr.On0(hub, "Finish", func(c *signalr.Call) error { close(c.Conn().Value().(*notes).published); return nil })
	signalr.Handle0(hub, "Canceled", func(c *signalr.Call) (int64, error) { return c.Conn().Value().(*notes).canceled.Load(), nil })
	signalr.Handle1(hub, "Sum", func(_ *signalr.Call, in signalr.Upload[int]) (sum int, err error) {
		for n, err := range in.All() {
			if err != nil {
				return 0, err
			}
			sum += n
		}
		return sum, nil
	})
	signalr.Handle3(hub, "Concat", func(_ *signalr.Call, a signalr.Upload[string], and string, b signalr.Upload[string]) (string, error) {
		one, err := all(a)
		two, err2 := all(b)
		return strings.Join(append(append(one, and), two...), " "), errors.Join(err, err2)
	})
	signalr.Stream2(hub, "Times", func(_ *signalr.Call, by int, in signalr.Upload[int]) (iter.Seq2[int, error], error) {
		return func(yield func(int, error) bool) {
			for n, err := range in.All() {
				if !yield(n*by, err) {
					return
				}
			}
		}, nil
	})
	signalr.Handle1(hub, "Early", func(*signalr.Call, signalr.Upload[int]) (string, error) { return "enough", nil })
}

func count(n int, last error) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
		if last != nil {
			yield(0, last)
		}
	}
}

func all[T any](in signalr.Upload[T]) (list []T, err error) {
	for v, err := range in.All() {
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// requests ask clients. What came of it is the result, so that the clients see the text of errors too.
func requests(hub *signalr.Hub) {
	ask := func(ctx context.Context, to signalr.Invoker, method string) (string, error) {
		sum, err := signalr.Invoke[int](ctx, to, method, 20, 22)
		switch {
		case err != nil:
			return err.Error(), nil
		case sum != 42:
			return "wrong sum", nil
		}
		return "42", nil
	}
	signalr.Handle1(hub, "AskMe", func(c *signalr.Call, method string) (string, error) { return ask(c.Context(), c.Conn(), method) })
	signalr.Handle2(hub, "Ask", func(c *signalr.Call, id, method string) (string, error) {
		return ask(c.Context(), c.Server().Client(id), method)
	})
}

func targets(hub *signalr.Hub) {
	signalr.On1(hub, "Join", func(c *signalr.Call, group string) error { return c.Conn().Join(group) })
	signalr.On1(hub, "Leave", func(c *signalr.Call, group string) error { return c.Conn().Leave(group) })
	signalr.On2(hub, "TellGroup", func(c *signalr.Call, group, text string) error {
		return c.Server().Group(group).Send(c.Context(), "Told", text)
	})
	signalr.On2(hub, "TellOthers", func(c *signalr.Call, group, text string) error {
		return c.OthersInGroup(group).Send(c.Context(), "Told", text)
	})
	signalr.On2(hub, "TellUser", func(c *signalr.Call, user, text string) error {
		return c.Server().User(user).Send(c.Context(), "Told", text)
	})
	signalr.On2(hub, "TellClient", func(c *signalr.Call, id, text string) error {
		return c.Server().Client(id).Send(c.Context(), "Told", text)
	})
	signalr.On2(hub, "Broadcast", func(c *signalr.Call, group string, n int) error {
		for i := range n {
			if err := c.Server().Group(group).Send(c.Context(), "Told", i); err != nil {
				return err
			}
		}
		return nil
	})
}
