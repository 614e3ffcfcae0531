package hub

import "github.com/esh3artech/esh3ar/signalr"

// Where clients connect.
const (
	MobilePath   = "/online-mobile-user" // phones
	BusinessPath = "/business-user"      // businesses
)

// PathOf returns the path of the hub that a request path belongs to, "" if it belongs to none, and reports whether the request
// negotiates. A request path may be in any case and end in a slash: see [signalr.MatchPath].
func PathOf(path string) (hub string, negotiate bool) {
	for _, hub := range [...]string{MobilePath, BusinessPath} {
		if negotiate, ok := signalr.MatchPath(path, hub); ok {
			return hub, negotiate
		}
	}
	return "", false
}
