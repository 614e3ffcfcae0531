package browser_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar/signalr/browser"
)

func TestHandler(t *testing.T) {
	t.Parallel()
	for name, word := range map[string]string{browser.Client: "HubConnectionBuilder", browser.MessagePack: "MessagePackHubProtocol"} {
		w := httptest.NewRecorder()
		browser.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/"+name, http.NoBody))
		if w.Code != http.StatusOK || !strings.Contains(w.Header().Get("Content-Type"), "javascript") || !strings.Contains(w.Body.String(), word) {
			t.Errorf("%s: %d %s", name, w.Code, w.Header())
		}
	}
}
