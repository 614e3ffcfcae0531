// Chat is a chat with rooms in a page: go run ./signalr/examples/chat, and open http://localhost:8080 in two windows.
//
// It shows what a hub is made of: calls with and without results, groups, presence, a stream, and a question that the
// server asks a client. hub.go is the server's side, page/chat.js the client's.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/esh3artech/esh3ar/signalr"
	"github.com/esh3artech/esh3ar/signalr/browser"
)

//go:embed page
var page embed.FS

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, func(url string) { fmt.Println("open " + url + " in two windows") }); err != nil {
		fmt.Fprintln(os.Stderr, "chat:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. It calls ready with the page's address.
func run(ctx context.Context, listen string, ready func(url string)) error {
	server := signalr.NewServer(newHub(), signalr.Options{
		Authenticate: authenticate,
		Logger:       slog.Default(),
	})
	files, err := fs.Sub(page, "page")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	server.Mount(mux, "/chat")
	mux.Handle("/signalr/", http.StripPrefix("/signalr", browser.Handler()))
	mux.Handle("/", http.FileServerFS(files))

	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- web.Serve(ln) }()
	worked := make(chan error, 1)
	go func() { worked <- server.Run(context.WithoutCancel(ctx)) }()
	ready("http://" + ln.Addr().String())

	select {
	case err = <-served:
	case err = <-worked:
	case <-ctx.Done():
	}
	// The other way round than they began: clients are told to come back later, then the door is closed.
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return errors.Join(err, server.Shutdown(end), web.Shutdown(end))
}
