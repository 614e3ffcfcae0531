package hub

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestIsForOpenConnection_Negotiation_IsFalseInEverySpelling checks that a negotiation always needs a token that has not expired.
func TestIsForOpenConnection_Negotiation_IsFalseInEverySpelling(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]bool{
		MobilePath + "/negotiate?id=a":          false,
		"/Online-Mobile-User/NEGOTIATE?id=a":    false,
		MobilePath + "/negotiate/?id=a":         false,
		MobilePath + "?id=a":                    true,
		"/ONLINE-mobile-user/?ID=a":             true,
		MobilePath:                              false,
		MobilePath + "?id=":                     false,
		MobilePath + "/negotiate?id=a&access=b": false,
	} {
		if got := isForOpenConnection(httptest.NewRequest(http.MethodPost, target, nil)); got != want {
			t.Errorf("%s belongs to an open connection: got %v, want %v", target, got, want)
		}
	}
}

// TestPathOf_EveryHub_IsFound also checks paths outside the hubs.
func TestPathOf_EveryHub_IsFound(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/online-mobile-user": MobilePath, "/Online-Mobile-User/": MobilePath, "/business-user": BusinessPath, "/BUSINESS-USER/negotiate": BusinessPath,
		"/business-user/other": "", "/v1/messages": "", "/": "", "/business-users": "",
	} {
		if got, _ := PathOf(path); got != want {
			t.Errorf("PathOf(%q) = %q, want %q", path, got, want)
		}
	}
}
