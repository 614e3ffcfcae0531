package hub

import (
	"strings"

	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/signalr"
)

// RedirectPhone returns a redirect of a phone's negotiation to the node at base, with a token that is valid for a minute.
func RedirectPhone(base string, tokens *auth.Tokens, who signalr.Identity) (signalr.Redirect, error) {
	token, err := tokens.Redirect(who.Principal.(auth.Device)) //nolint:forcetypeassert // set by Authenticate
	return signalr.Redirect{URL: hubAt(base, MobilePath), AccessToken: token}, err
}

// RedirectBusiness returns a redirect of a business's negotiation to the node at base. It has no token, so the client keeps
// using its API key, and a revocation takes effect at the other node, too.
func RedirectBusiness(base string) signalr.Redirect {
	return signalr.Redirect{URL: hubAt(base, BusinessPath)}
}

// hubAt returns the URL of the hub at path on the node at base.
func hubAt(base, path string) string { return strings.TrimRight(base, "/") + path }
