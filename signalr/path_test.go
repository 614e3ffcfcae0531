package signalr

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestMatchPath_SpellingsOfARoute_MatchAsInASPNET lists what the routes of ASP.NET Core take for one path, and what not.
func TestMatchPath_SpellingsOfARoute_MatchAsInASPNET(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		path, hub     string
		negotiate, ok bool
	}{
		{"/hub", "/hub", false, true},
		{"/HUB", "/hub", false, true},
		{"/hub/", "/hub", false, true},
		{"/hub/", "/hub/", false, true},
		{"/hub", "/Hub/", false, true},
		{"/hub/negotiate", "/hub", true, true},
		{"/Hub/NEGOTIATE/", "/hub", true, true},
		{"/", "/", false, true},
		{"/negotiate", "/", true, true},
		{"/a/b/negotiate", "/a/b", true, true},
		{"/hub//", "/hub", false, false},
		{"/hub//negotiate", "/hub", true, false},
		{"/hub/negotiate//", "/hub", false, false},
		{"/hub/renegotiate", "/hub", false, false},
		{"/hub/other", "/hub", false, false},
		{"/hubs", "/hub", false, false},
		{"/a/hub", "/hub", false, false},
		{"hub", "/hub", false, false},
		{"", "/hub", false, false},
		{"/buſineſſ", "/business", false, false},
		{"/hub`", "/hub@", false, false},
	} {
		negotiate, ok := MatchPath(c.path, c.hub)
		if negotiate != c.negotiate || ok != c.ok {
			t.Errorf("MatchPath(%q, %q) = %v, %v, want %v, %v", c.path, c.hub, negotiate, ok, c.negotiate, c.ok)
		}
	}
	if hub, negotiate := CutNegotiate("negotiate"); hub != "" || !negotiate { // as http.StripPrefix leaves it
		t.Errorf("CutNegotiate of a bare segment = %q, %v", hub, negotiate)
	}
}

// TestServer_Handler_ServesEverySpelling negotiates and connects under several spellings of the path, and leaves the rest to the next handler.
func TestServer_Handler_ServesEverySpelling(t *testing.T) {
	t.Parallel()
	h := start(t, NewHub(), Options{})
	h.web.Config.Handler = h.Handler("/hub", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for path, want := range map[string]int{
		"/hub/negotiate": 200, "/HUB/negotiate": 200, "/hub/Negotiate": 200, "/hub/negotiate/": 200,
		"/hub/other": http.StatusTeapot, "/": http.StatusTeapot, "/hub//": http.StatusTeapot,
	} {
		if resp, _ := h.do("POST", path+"?negotiateVersion=1"); resp.StatusCode != want {
			t.Errorf("POST %s: got %d, want %d", path, resp.StatusCode, want)
		}
	}
	for _, path := range []string{"/hub", "/HUB", "/hub/", "/Hub/"} {
		if resp, _ := h.do("GET", path); resp.StatusCode != 400 { // no id
			t.Errorf("GET %s: got %d, want 400", path, resp.StatusCode)
		}
	}
	web := httptest.NewServer(h.Handler("/hub", nil))
	defer web.Close()
	resp, err := http.Get(web.URL + "/none")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 404 {
		t.Errorf("without a next handler: got %d, want 404", resp.StatusCode)
	}
}
