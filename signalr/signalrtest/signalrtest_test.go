package signalrtest_test

import (
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"testing"

	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar/signalr"
	"github.com/esh3artech/esh3ar/signalr/signalrtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// chat is a hub with a method of each kind.
func chat() *signalr.Hub {
	hub := signalr.NewHub()
	signalr.Handle2(hub, "Add", func(_ *signalr.Call, a, b int) (int, error) { return a + b, nil })
	signalr.On1(hub, "Say", func(c *signalr.Call, text string) error {
		if text == "" {
			return signalr.Errorf("say something")
		}
		return c.Server().All().Send(c.Context(), "Said", c.Conn().UserID(), text)
	})
	signalr.Stream1(hub, "Count", func(_ *signalr.Call, n int) (iter.Seq2[int, error], error) {
		return func(yield func(int, error) bool) {
			for i := range n {
				if !yield(i, nil) {
					return
				}
			}
			yield(0, signalr.Errorf("no more"))
		}, nil
	})
	signalr.Handle0(hub, "AskMe", func(c *signalr.Call) (int, error) { return signalr.Invoke[int](c.Context(), c, "Double", 21) })
	signalr.On0(hub, "Leave", func(c *signalr.Call) error { c.Conn().Close("goodbye", true); return nil })
	return hub
}

func options() signalr.Options {
	return signalr.Options{Authenticate: func(r *http.Request) (signalr.Identity, error) {
		user := signalr.BearerToken(r)
		if user == "" {
			return signalr.Identity{}, errors.New("no token")
		}
		return signalr.Identity{UserID: user}, nil
	}}
}

func as(user string) http.Header { return http.Header{"Authorization": {"Bearer " + user}} }

func TestClient_Invoke_ReturnsResultOrError(t *testing.T) {
	t.Parallel()
	c := signalrtest.Connect(t, signalrtest.Run(t, chat(), options()), as("ada"))
	if got, err := signalrtest.Invoke[int](c, "Add", 20, 22); got != 42 || err != nil {
		t.Errorf("Add: got %d, %v, want 42", got, err)
	}
	_, err := signalrtest.Invoke[any](c, "Say", "")
	var he *signalr.HubError
	if !errors.As(err, &he) {
		t.Errorf("Say of nothing: got %v, want a HubError", err)
	}
}

func TestClient_Next_ReturnsWhatTheHubSends(t *testing.T) {
	t.Parallel()
	server := signalrtest.Run(t, chat(), options())
	ada, bob := signalrtest.Connect(t, server, as("ada")), signalrtest.Connect(t, server, as("bob"))
	ada.Send("Say", "hello")
	for _, c := range []*signalrtest.Client{ada, bob} {
		got := c.Next()
		if got.Target != "Said" || len(got.Arguments) != 2 || string(got.Arguments[0])+string(got.Arguments[1]) != `"ada""hello"` {
			t.Errorf("got %s %s, want Said by ada", got.Target, got.Arguments)
		}
	}
}

func TestStream_Items_ComeInOrderWithTheirEnd(t *testing.T) {
	t.Parallel()
	c := signalrtest.Connect(t, signalrtest.Run(t, chat(), options()), as("ada"))
	var got []int
	var end error
	for n, err := range signalrtest.Stream[int](c, "Count", 3) {
		if err != nil {
			end = err
			break
		}
		got = append(got, n)
	}
	if len(got) != 3 || got[2] != 2 || end == nil {
		t.Errorf("got %v and end %v, want 0 1 2 and an error", got, end)
	}
	for range signalrtest.Stream[int](c, "Count", 1_000_000) {
		break // cancels
	}
	if got, err := signalrtest.Invoke[int](c, "Add", 1, 1); got != 2 || err != nil {
		t.Errorf("behind a canceled stream: got %d, %v, want 2", got, err)
	}
}

func TestClient_Handle_AnswersTheHub(t *testing.T) {
	t.Parallel()
	c := signalrtest.Connect(t, signalrtest.Run(t, chat(), options()), as("ada"))
	if _, err := signalrtest.Invoke[int](c, "AskMe"); err == nil {
		t.Error("without a handler: got no error, want one")
	}
	c.Handle("Double", func(args []json.RawMessage) (any, error) {
		var n int
		err := json.Unmarshal(args[0], &n)
		return 2 * n, err
	})
	if got, err := signalrtest.Invoke[int](c, "AskMe"); got != 42 || err != nil {
		t.Errorf("got %d, %v, want 42", got, err)
	}
}

func TestClient_Ended_ReturnsTheServersReason(t *testing.T) {
	t.Parallel()
	server := signalrtest.Run(t, chat(), options())
	c := signalrtest.Connect(t, server, as("ada"))
	c.Send("Leave")
	var closed *signalrtest.ClosedError
	if err := c.Ended(); !errors.As(err, &closed) || closed.Text != "goodbye" || !closed.AllowReconnect {
		t.Errorf("got end %v, want goodbye with allowReconnect", err)
	}
	if _, err := signalrtest.Invoke[int](c, "Add", 1, 1); err == nil {
		t.Error("call behind the end: got no error, want one")
	}
	var refused *signalrtest.RefusedError
	if _, err := signalrtest.Dial(t, server, nil); !errors.As(err, &refused) || refused.Status != http.StatusUnauthorized {
		t.Errorf("connect without a token: got %v, want 401", err)
	}
}
