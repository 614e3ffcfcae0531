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

// edges routes requests by path to the hubs, the REST API and the other handlers of one port. It does not use http.ServeMux, which
// answers a path with a trailing slash by a redirect that turns a POST into a GET.
type edges struct {
	hubs                   *hubs
	watched, cluster, demo http.Handler
	api                    *httpapi.API
	profiles               http.Handler
	panics                 *panics.Recorder
	apart                  bool // the routes of operators are served at --admin-listen only
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

// recover ends only the connection of a handler that has panicked.
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

// operatorEdges routes the requests at --admin-listen: the routes of operators, and the health checks.
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

// plainCall reports whether a call may take the HTTP fast path: its answer neither streams nor takes the connection over. These are
// the calls about messages, which are nearly all.
func plainCall(_, path string) bool { return strings.HasPrefix(path, "/v1/messages") }
