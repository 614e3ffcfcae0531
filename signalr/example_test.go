package signalr_test

import (
	"context"
	"errors"
	"log"
	"net/http"
	"time"

	"github.com/esh3artech/esh3ar/signalr"
)

// A room where everybody hears what everybody says. In a page:
//
//	const room = new signalR.HubConnectionBuilder().withUrl("/room?access_token=amal").withAutomaticReconnect().build()
//	room.on("said", (who, what) => console.log(who, what))
//	await room.start()
//	await room.invoke("Say", "hello")
func Example() {
	hub := signalr.NewHub()
	said := make(chan signalr.Frame, 100)
	signalr.On1(hub, "Say", func(c *signalr.Call, what string) error {
		if what == "" {
			return signalr.Errorf("say something") // the client is shown this text
		}
		frame, err := signalr.NewFrame("said", c.Conn().UserID(), what) // encoded once, for all
		if err != nil {
			return err
		}
		select {
		case said <- frame:
			return nil
		case <-c.Context().Done():
			return context.Cause(c.Context())
		}
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
		for {
			select {
			case frame := <-said:
				for _, name := range []string{"amal", "badr"} {
					for _, conn := range server.User(name) {
						if err := conn.TryWrite(frame); errors.Is(err, signalr.ErrFull) {
							conn.Abort() // too slow for this room
						}
					}
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	go func() {
		if err := server.Run(ctx); err != nil {
			log.Print(err)
		}
	}()
	log.Print(http.ListenAndServe("localhost:8080", mux)) //nolint:gosec // an example
}
