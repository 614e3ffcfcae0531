package conformance

import (
	"errors"
	"strings"

	"github.com/esh3artech/esh3ar/signalr"
)

// notes is what a connection has noted, in order. Calls of one connection run one at a time.
type notes struct{ list []int }

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
