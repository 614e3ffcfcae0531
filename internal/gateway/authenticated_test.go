package gateway_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/esh3artech/esh3ar/internal/runtime/connlimit"
)

// TestForward_AcceptedCredential_AuthenticatesConnectionBeforeAnswer: while a node works on the call of a known caller, its connection is
// not one of those that the limiter may close to make room.
func TestForward_AcceptedCredential_AuthenticatesConnectionBeforeAnswer(t *testing.T) {
	t.Parallel()
	inside, goOn := make(chan struct{}), make(chan struct{})
	n := newNode(t, "n", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/slow" {
			inside <- struct{}{}
			<-goOn
		}
		w.WriteHeader(http.StatusOK)
	})
	f := newFront(t, nil, n)
	f.awaitUp(1)
	limiter := connlimit.New(connlimit.Options{Connections: 100})
	call := func(path string) (*connlimit.Conn, *http.Request) {
		conn := limiter.Admit(n.Listener.Addr(), func() {})
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Authorization", "Bearer key")
		return conn, r.WithContext(connlimit.WithConn(r.Context(), conn))
	}
	for _, c := range []struct {
		name string
		want bool
	}{{"unknown", false}, {"accepted", true}} {
		conn, r := call("/v1/slow")
		done := make(chan struct{})
		go func() { defer close(done); f.ServeHTTP(httptest.NewRecorder(), r) }()
		<-inside
		if got := conn.IsAuthenticated(); got != c.want {
			t.Errorf("%s credential, before the answer: got authenticated %v, want %v", c.name, got, c.want)
		}
		goOn <- struct{}{}
		<-done
		if !conn.IsAuthenticated() {
			t.Errorf("%s credential, after the answer: not authenticated", c.name)
		}
	}
}
