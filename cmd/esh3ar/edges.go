package main

import (
	"net/http"
	"strings"

	"github.com/esh3artech/esh3ar/internal/connlimit"
	"github.com/esh3artech/esh3ar/internal/gateway"
	"github.com/esh3artech/esh3ar/internal/hub"
)

// edges share a port. They are told apart by hand: http.ServeMux answers a path with a slash too many by a redirect, which
// turns a POST into a GET.
type edges struct {
	hubs                        *hubs
	watched, cluster, demo, api http.Handler
}

func (e edges) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	connlimit.Touch(r.Context())
	switch path := r.URL.Path; {
	case path == hub.MobilePath, strings.HasPrefix(path, hub.MobilePath+"/"):
		e.hubs.phones.ServeHTTP(w, r)
	case path == hub.BusinessPath, strings.HasPrefix(path, hub.BusinessPath+"/"):
		e.hubs.businesses.ServeHTTP(w, r)
	case path == "/readyz" && r.Header.Get(gateway.MarkHeader) != "":
		e.watched.ServeHTTP(w, r)
	case path == clusterPath:
		e.cluster.ServeHTTP(w, r)
	case strings.HasPrefix(path, "/demo/"):
		e.demo.ServeHTTP(w, r)
	case path == "/demo":
		http.Redirect(w, r, "/demo/", http.StatusMovedPermanently)
	default:
		e.api.ServeHTTP(w, r)
	}
}

// plainCall tells of which calls the answers neither stream nor take over a connection: those about messages, which are nearly all.
func plainCall(_, path string) bool { return strings.HasPrefix(path, "/v1/messages") }
