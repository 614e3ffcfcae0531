// The program backplane runs two servers of one hub in one process, joined by a backplane: a client of 127.0.0.1:8081 and one of
// 127.0.0.1:8082 are in one room. Its backplane is all there is to replace where the servers are processes of their own.
//
//	go run ./signalr/examples/backplane
package main

import (
	"context"
	"log"
	"net/http"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/esh3artech/esh3ar/signalr"
)

// room is the hub of every server.
func room() *signalr.Hub {
	hub := signalr.NewHub()
	signalr.On1(hub, "Enter", func(c *signalr.Call, room string) error { return c.Conn().Join(room) })
	signalr.On2(hub, "Say", func(c *signalr.Call, room, text string) error {
		return c.Server().Group(room).Send(c.Context(), "Said", text)
	})
	return hub
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	shared := &plane{}
	var running sync.WaitGroup
	for _, address := range []string{"127.0.0.1:8081", "127.0.0.1:8082"} {
		node := &nodePlane{shared: shared}
		node.self = signalr.NewServer(room(), signalr.Options{Backplane: node})
		shared.add(node.self)
		web := &http.Server{Addr: address, Handler: node.self.Handler("/room", nil), ReadHeaderTimeout: 10 * time.Second}
		running.Go(func() {
			if err := node.self.Run(ctx); err != nil {
				log.Print(err)
			}
			_ = web.Close() // the program ends
		})
		running.Go(func() { log.Print(web.ListenAndServe()) })
	}
	running.Wait()
}
