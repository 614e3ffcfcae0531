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

// forOperators reports whether a path is served only at --admin-listen, if that flag is given.
func forOperators(path string) bool {
	for _, root := range []string{"/admin", "/metrics", "/debug/pprof", "/dashboard"} {
		if rest, ok := strings.CutPrefix(path, root); ok && (rest == "" || rest[0] == '/') {
			return true
		}
	}
	return false
}

// profilesPath is the root of the profiling routes.
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

// operatorServer serves the routes of operators at an address of its own. The zero value serves nothing.
type operatorServer struct {
	listener net.Listener
	server   *http.Server
	tls      bool // it speaks TLS
}

// openAdmin listens at addr and closes connections whose peers read nothing for writeTimeout. If addr is empty, the server serves nothing.
func openAdmin(ctx context.Context, addr string, writeTimeout time.Duration, cert *certfile.Pair, h http.Handler, log *slog.Logger) (*operatorServer, error) {
	if addr == "" {
		return &operatorServer{}, nil
	}
	listener, err := listenFor(ctx, "--admin-listen", addr)
	if err != nil {
		return nil, err
	}
	limiter := connlimit.New(connlimit.Options{Connections: adminConnections, Unauthenticated: adminConnections, PerAddress: adminConnections, WriteTimeout: writeTimeout, Log: log})
	server := httpapi.NewServer(h, log)
	server.ConnContext = connlimit.ConnContext
	return &operatorServer{listener: secured(limiter.Listen(listener), cert), server: server, tls: cert != nil}, nil
}

// url returns the URL at which this machine reaches the server; empty if it serves nothing.
func (a *operatorServer) url() string {
	if a.server == nil {
		return ""
	}
	host, port, err := net.SplitHostPort(a.listener.Addr().String())
	if err != nil {
		return ""
	}
	if Unspecified(host) {
		host = "127.0.0.1"
	}
	if a.tls {
		return "https://" + net.JoinHostPort(host, port)
	}
	return "http://" + net.JoinHostPort(host, port)
}

// serve serves until shutdown.
func (a *operatorServer) serve() error {
	if a.server == nil {
		return nil
	}
	if err := a.server.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (a *operatorServer) shutdown(ctx context.Context) error {
	if a.server == nil {
		return nil
	}
	return a.server.Shutdown(ctx)
}

func (a *operatorServer) close() error {
	if a == nil || a.listener == nil {
		return nil
	}
	return a.listener.Close()
}
