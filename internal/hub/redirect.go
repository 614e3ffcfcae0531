package hub

import (
	"strings"

	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/signalr"
)

// RedirectPhone sends a phone that negotiated through somebody else to the node at base, with a token that is good for a
// minute.
func RedirectPhone(base string, tokens *auth.Tokens, who signalr.Identity) (signalr.Redirect, error) {
	token, err := tokens.Redirect(who.Principal.(auth.Device)) //nolint:forcetypeassert // set by Authenticate
	return signalr.Redirect{URL: hubAt(base, MobilePath), AccessToken: token}, err
}

// RedirectBusiness sends a business to the node at base, where it goes on with its key: clients keep their credential when
// a redirect brings none, and so a revoked key is revoked there within a second too.
func RedirectBusiness(base string) signalr.Redirect {
	return signalr.Redirect{URL: hubAt(base, BusinessPath)}
}

// hubAt returns the URL of a hub at another node.
func hubAt(base, path string) string { return strings.TrimRight(base, "/") + path }
