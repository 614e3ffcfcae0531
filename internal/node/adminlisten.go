package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/esh3artech/esh3ar/internal/httpapi"
	"github.com/esh3artech/esh3ar/internal/runtime/certfile"
	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
)

// forOperators reports whether a path is served at --admin-listen only, where that is given.
func forOperators(path string) bool {
	for _, root := range []string{"/admin", "/metrics", "/debug/pprof", "/dashboard"} {
		if rest, ok := strings.CutPrefix(path, root); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

// profilesPath is where profiles are.
const profilesPath = "/debug/pprof/"

// profiles serves net/http/pprof below /debug/pprof/.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// adminConnections bounds the connections of --admin-listen; they are part of the reserve.
const adminConnections = 32

// adminServer serves what is for operators at an address of its own. The zero value serves nothing.
type adminServer struct {
	listener net.Listener
	server   *http.Server
}

// openAdmin listens at addr, and ends connections whose peers read nothing for writeTimeout; an empty one gives a server that serves nothing.
func openAdmin(ctx context.Context, addr string, writeTimeout time.Duration, cert *certfile.Pair, h http.Handler, log *slog.Logger) (*adminServer, error) {
	if addr == "" {
		return &adminServer{}, nil
	}
	listener, err := listenFor(ctx, "--admin-listen", addr)
	if err != nil {
		return nil, err
	}
	limiter := connlimit.New(connlimit.Options{Connections: adminConnections, Unauthenticated: adminConnections, PerAddress: adminConnections, WriteTimeout: writeTimeout, Log: log})
	server := httpapi.NewServer(h, log)
	server.ConnContext = connlimit.ConnContext
	return &adminServer{listener: secured(limiter.Listen(listener), cert), server: server}, nil
}

// serve serves until shutdown.
func (a *adminServer) serve() error {
	if a.server == nil {
		return nil
	}
	if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (a *adminServer) shutdown(ctx context.Context) error {
	if a.server == nil {
		return nil
	}
	return a.server.Shutdown(ctx)
}

func (a *adminServer) close() error {
	if a == nil || a.listener == nil {
		return nil
	}
	return a.listener.Close()
}
