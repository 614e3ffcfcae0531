package hub

import "github.com/esh3artech/esh3ar/signalr"

// Paths of the hubs.
const (
	MobilePath   = "/online-mobile-user" // phones
	BusinessPath = "/business-user"      // businesses
)

// PathOf returns the path of the hub that a request path belongs to, or "", and whether the request negotiates. It ignores case
// and a trailing slash, see [signalr.MatchPath].
func PathOf(path string) (hub string, negotiate bool) {
	for _, hub := range [...]string{MobilePath, BusinessPath} {
		if negotiate, ok := signalr.MatchPath(path, hub); ok {
			return hub, negotiate
		}
	}
	return "", false
}
