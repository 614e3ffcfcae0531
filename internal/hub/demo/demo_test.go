package demo_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar/internal/hub/demo"
)

func get(t *testing.T, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	demo.Demo("/demo/").ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
	return w
}

func TestDemo_Page_ServesAllItsFiles(t *testing.T) {
	t.Parallel()
	page := get(t, "/demo/")
	if page.Code != http.StatusOK || !strings.Contains(page.Header().Get("Content-Security-Policy"), "default-src 'none'") {
		t.Fatalf("%d %v", page.Code, page.Header())
	}
	named := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(page.Body.String(), -1)
	if len(named) < 3 {
		t.Errorf("the page names %v", named)
	}
	for _, m := range named {
		if strings.Contains(m[1], "//") {
			t.Errorf("%s comes from elsewhere", m[1])
		}
		if got := get(t, "/demo/"+m[1]); got.Code != http.StatusOK {
			t.Errorf("%s: %d", m[1], got.Code)
		}
	}
	if strings.Contains(page.Body.String(), "<style") || strings.Contains(page.Body.String(), " onclick") {
		t.Error("the page has inline parts that its policy forbids")
	}
	if got := get(t, "/demo/nothing"); got.Code != http.StatusNotFound {
		t.Errorf("an unknown file: %d", got.Code)
	}
}

func TestDemo_PathOfNoFile_NotFound(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/demo/x/", "/demo/signalr", "/demo/signalr/", "/demo/signalr/x", "/demo/..", "/demo/../", "/demo/.", "/demo//", "/demo/phone.js/", "/demo/signalr/../"} {
		if got := get(t, path); got.Code != http.StatusNotFound || strings.Contains(got.Body.String(), "<pre>") {
			t.Errorf("%s: got %d %q, want 404", path, got.Code, got.Body)
		}
	}
}
