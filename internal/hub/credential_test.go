package hub_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/esh3artech/esh3ar/internal/auth/credential"
	"github.com/esh3artech/esh3ar/signalr"
)

// TestBearerToken_EveryRequest_MatchesCredential checks that signalr.BearerToken and package credential find the same token.
func TestBearerToken_EveryRequest_MatchesCredential(t *testing.T) {
	t.Parallel()
	headers := [][]string{
		nil, {""}, {"Bearer a"}, {"bearer  a"}, {" Bearer a\t"}, {"Bearer\ta"}, {"Bearer a b"}, {"Bearer"}, {"Basic a"}, {"Bearer a", "Bearer a"}, {"Bearer \u00e4"},
	}
	queries := []string{
		"", "id=1", "access_token=", "access_token=a", "access_token=b", "ACCESS_TOKEN=a", "access_token=a&Access_Token=b", "access_token=a&access_token=a",
		"access_token=a+b", "access_token=%00", "access_token=&access_token=a",
	}
	found := 0
	for _, header := range headers {
		for _, query := range queries {
			r := httptest.NewRequest(http.MethodGet, "/?"+query, nil)
			if header != nil {
				r.Header["Authorization"] = header
			}
			want, err := credential.HeaderOrQuery(r)
			if got := signalr.BearerToken(r); got != want {
				t.Errorf("%q with ?%s: signalr %q, credential %q, %v", header, query, got, want, err)
			}
			if want != "" {
				found++
			}
		}
	}
	if found == 0 {
		t.Error("no token was found")
	}
}
