package signalrclient

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestNegotiate_Answers_RedirectOrFail checks a redirect, an answer without one, and refusals with their reason.
func TestNegotiate_Answers_RedirectOrFail(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]Config{
		`{"url":"http://other:1/","accessToken":"b"}`: {URL: "http://other:1/", Token: "b"},
		`{"connectionToken":"x"}`:                     {Token: "a"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost || r.URL.Path != Path+"/negotiate" || r.Header.Get("Authorization") != "Bearer a" {
				t.Errorf("%s %s with %q", r.Method, r.URL, r.Header.Get("Authorization"))
			}
			_, _ = io.WriteString(w, answer)
		}))
		defer server.Close()
		if want.URL == "" {
			want.URL = server.URL
		}
		got, err := Negotiate(t.Context(), server.Client(), Config{URL: server.URL, Token: "a"})
		if err != nil || got.URL != want.URL || got.Token != want.Token {
			t.Errorf("%s: %+v, %v, want %+v", answer, got, err, want)
		}
	}
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(401) }))
	defer refusing.Close()
	_, err := Negotiate(t.Context(), refusing.Client(), Config{URL: refusing.URL})
	if refused, ok := errors.AsType[*StatusError](err); !ok || refused.Status != 401 {
		t.Errorf("%v, want a refusal", err)
	}
}
