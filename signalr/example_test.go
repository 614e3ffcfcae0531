package signalr_test

import (
	"context"
	"errors"
	"iter"
	"log"
	"net/http"
	"time"

	"github.com/esh3artech/esh3ar/signalr"
)

// A chat room whose messages are sent to all members. In a page:
//
//	const room = new signalR.HubConnectionBuilder().withUrl("/room?access_token=amal").withAutomaticReconnect().build()
//	room.on("said", (who, what) => console.log(who, what))
//	await room.start()
//	await room.invoke("Say", "hello")
func Example() {
	hub := signalr.NewHub()
	signalr.On1(hub, "Say", func(c *signalr.Call, what string) error {
		if what == "" {
			return signalr.Errorf("say something") // the client is shown this text
		}
		return c.Server().All().Send(c.Context(), "said", c.Conn().UserID(), what) // encoded once for all
	})

	server := signalr.NewServer(hub, signalr.Options{
		Authenticate: func(r *http.Request) (signalr.Identity, error) {
			name := signalr.BearerToken(r) // in earnest: verified
			if name == "" {
				return signalr.Identity{}, errors.New("who are you")
			}
			return signalr.Identity{UserID: name, Expires: time.Now().Add(time.Hour)}, nil
		},
		AllowOrigin: signalr.AllowOrigins("https://app.example"),
	})
	mux := http.NewServeMux()
	server.Mount(mux, "/room")

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		if err := server.Run(ctx); err != nil {
			log.Print(err)
		}
	}()
	log.Print(http.ListenAndServe("localhost:8080", mux)) //nolint:gosec // an example
}

// A filter that times every call, and one that keeps guests out of a method.
func ExampleHub_Use() {
	hub := signalr.NewHub()
	hub.Use(
		signalr.Filter{Invoke: func(c *signalr.Call, next signalr.HandlerFunc) (any, error) {
			began := time.Now()
			result, err := next(c)
			log.Print(c.Target(), " took ", time.Since(began), ": ", err)
			return result, err
		}},
		signalr.Filter{Invoke: func(c *signalr.Call, next signalr.HandlerFunc) (any, error) {
			if c.Target() == "Delete" && c.Conn().UserID() == "guest" {
				return nil, signalr.ErrUnauthorized
			}
			return next(c)
		}},
	)
}

// Connections join and leave groups. A message to a group is sent to its current members.
func ExampleConn_Join() {
	hub := signalr.NewHub()
	signalr.On1(hub, "Enter", func(c *signalr.Call, room string) error {
		if err := c.Conn().Join(room); err != nil {
			return err
		}
		return c.OthersInGroup(room).TrySend("entered", c.Conn().UserID())
	})
	signalr.Handle1(hub, "Who", func(c *signalr.Call, room string) ([]string, error) {
		return c.Server().Group(room).UserIDs(), nil
	})
}

// A method whose results are a stream. In a page: connection.stream("Countdown", 3).subscribe({next, complete, error}).
func ExampleStream1() {
	hub := signalr.NewHub()
	signalr.Stream1(hub, "Countdown", func(c *signalr.Call, from int) (iter.Seq2[int, error], error) {
		if from > 100 {
			return nil, signalr.Errorf("at most 100")
		}
		return func(yield func(int, error) bool) {
			for n := from; n > 0 && yield(n, nil); n-- {
				select {
				case <-time.After(time.Second):
				case <-c.Context().Done(): // the client has enough, or is gone
					return
				}
			}
		}, nil
	})
}

// A method that reads a stream of the client. In a page: connection.invoke("Sum", subject).
func ExampleUpload() {
	hub := signalr.NewHub()
	signalr.Handle1(hub, "Sum", func(_ *signalr.Call, numbers signalr.Upload[int]) (sum int, err error) {
		for n, err := range numbers.All() {
			if err != nil {
				return 0, err
			}
			sum += n
		}
		return sum, nil
	})
}

// A server that asks a client. In a page: connection.on("confirm", question => window.confirm(question)).
func ExampleInvoke() {
	hub := signalr.NewHub()
	signalr.On1(hub, "Delete", func(c *signalr.Call, file string) error {
		ctx, cancel := context.WithTimeout(c.Context(), time.Minute) // of the call, so that it keeps no slot meanwhile
		defer cancel()
		sure, err := signalr.Invoke[bool](ctx, c.Conn(), "confirm", "Delete "+file+"?")
		if err != nil || !sure {
			return err
		}
		return c.Server().All().Send(c.Context(), "deleted", file)
	})
}

// A frame is encoded once, however many connections get it and whatever protocol they speak.
func ExampleNewFrame() {
	var server *signalr.Server
	frame, err := signalr.NewFrame("priceChanged", "gold", 64.2)
	if err != nil {
		log.Print(err)
		return
	}
	for _, conn := range server.User("amal").Conns() {
		if err := conn.TryWrite(frame); errors.Is(err, signalr.ErrFull) {
			conn.Abort() // too slow for this stream of prices
		}
	}
}
