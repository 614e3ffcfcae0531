package hub

import (
	"net/http"
	"strings"

	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/signalr"
)

// RedirectPhone sends a phone that negotiated through somebody else to the node at base, with a token that is good for a
// minute.
func RedirectPhone(base string, tokens *auth.Tokens, r *http.Request, who signalr.Identity) (signalr.Redirect, error) {
	token, err := tokens.Redirect(who.Principal.(auth.Device)) //nolint:forcetypeassert // set by Authenticate
	return signalr.Redirect{URL: hubAt(base, r), AccessToken: token}, err
}

// RedirectBusiness sends a business to the node at base, where it goes on with its key: clients keep their credential when
// a redirect brings none, and so a revoked key is revoked there within a second too.
func RedirectBusiness(base string, r *http.Request) signalr.Redirect {
	return signalr.Redirect{URL: hubAt(base, r)}
}

// hubAt is the hub of a negotiation at another node.
func hubAt(base string, r *http.Request) string {
	return strings.TrimRight(base, "/") + strings.TrimSuffix(r.URL.Path, "/negotiate")
}
