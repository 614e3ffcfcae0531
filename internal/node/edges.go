package node

import (
	"net/http"
	"strings"

	"github.com/esh3artech/esh3ar/internal/gateway"
	"github.com/esh3artech/esh3ar/internal/httpapi"
	"github.com/esh3artech/esh3ar/internal/hub"
	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
	"github.com/esh3artech/esh3ar/internal/runtime/panics"
)

// edges share a port. They are told apart by hand: http.ServeMux answers a path with a slash too many by a redirect, which
// turns a POST into a GET.
type edges struct {
	hubs                   *hubs
	watched, cluster, demo http.Handler
	api                    *httpapi.API
	profiles               http.Handler
	panics                 *panics.Recorder
	apart                  bool // what is for operators is served at --admin-listen only
}

func (e edges) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	connlimit.Touch(r.Context())
	defer e.recover()
	path := r.URL.Path
	hubPath, _ := hub.PathOf(path)
	switch {
	case e.apart && forOperators(path):
		e.api.NotFound(w, r)
	case hubPath == hub.MobilePath:
		e.hubs.phones.ServeHTTP(w, r)
	case hubPath == hub.BusinessPath:
		e.hubs.businesses.ServeHTTP(w, r)
	case path == "/readyz" && r.Header.Get(gateway.MarkHeader) != "":
		e.watched.ServeHTTP(w, r)
	case path == ClusterPath:
		e.cluster.ServeHTTP(w, r)
	case strings.HasPrefix(path, "/demo/"):
		e.demo.ServeHTTP(w, r)
	case path == "/demo":
		http.Redirect(w, r, "/demo/", http.StatusMovedPermanently)
	case strings.HasPrefix(path, profilesPath):
		e.api.RequireAdmin(e.profiles).ServeHTTP(w, r)
	default:
		e.api.ServeHTTP(w, r)
	}
}

// recover ends the connection of a handler that has panicked.
func (e edges) recover() {
	cause := recover()
	if cause == nil {
		return
	}
	if cause != http.ErrAbortHandler { //nolint:errorlint // compared as net/http does
		e.panics.Record("http", cause)
	}
	panic(http.ErrAbortHandler)
}

// operatorEdges are what --admin-listen serves: what the public port does not then, and whether the process runs.
type operatorEdges struct{ edges }

func (e operatorEdges) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	connlimit.Touch(r.Context())
	defer e.recover()
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, profilesPath):
		e.profiles.ServeHTTP(w, r)
	case forOperators(path), path == "/livez", path == "/readyz", path == "/openapi.json", path == "/docs":
		e.api.ServeHTTP(w, r)
	default:
		e.api.NotFound(w, r)
	}
}

// plainCall tells of which calls the answers neither stream nor take over a connection: those about messages, which are nearly all.
func plainCall(_, path string) bool { return strings.HasPrefix(path, "/v1/messages") }
