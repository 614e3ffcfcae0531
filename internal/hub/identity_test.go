package hub_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/auth"
	"github.com/esh3artech/esh3ar/internal/hub"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

// TestConnectionToken_OfAnotherUser_IsRefused uses the connection token of another phone and business: the server compares the
// identity of each request with that of the connection.
func TestConnectionToken_OfAnotherUser_IsRefused(t *testing.T) {
	t.Parallel()
	store, err := embedded.Open(t.TempDir(), embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	made, err := (&auth.Bootstrap{Store: store, Dir: t.TempDir(), Now: time.Now}).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := made.Tokens.Mint(967771234567, "d", 0)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(credential string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, hub.MobilePath, nil)
		r.Header.Set("Authorization", "Bearer "+credential)
		return r
	}
	if who, err := hub.Authenticate(made.Tokens)(ask(token)); err != nil || who.UserID != "+967771234567" {
		t.Errorf("a phone is %q, %v", who.UserID, err)
	}
	keys := auth.NewKeys(store, time.Now)
	if who, err := hub.AuthenticateBusiness(keys)(ask(made.Secrets.APIKey)); err != nil || who.UserID != made.Secrets.BusinessID.String() {
		t.Errorf("a business is %q, %v, want %q", who.UserID, err, made.Secrets.BusinessID)
	}
}
