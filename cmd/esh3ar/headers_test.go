package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// get makes a call without following redirects.
func (w *testPlatform) get(t *testing.T, viaGateway bool, method, path, token string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+w.address(viaGateway)+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if strings.HasPrefix(path, "/v1/events") && resp.StatusCode == http.StatusOK {
		return resp, "" // a stream
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// documentedRoutes returns the calls of openapi.json, with a path that exists for each parameter.
func documentedRoutes(t *testing.T, document string) (routes [][2]string) {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]json.RawMessage
	}
	if err := json.Unmarshal([]byte(document), &doc); err != nil {
		t.Fatal(err)
	}
	for path, methods := range doc.Paths {
		for _, name := range []string{"{id}", "{keyId}", "{name}", "{number}", "{did}"} {
			path = strings.ReplaceAll(path, name, "x")
		}
		for method := range methods {
			if method != "parameters" {
				routes = append(routes, [2]string{strings.ToUpper(method), path})
			}
		}
	}
	return routes
}

// TestSecurityHeaders_AllRoutes_Set walks the calls of openapi.json and the other paths on a node and a gateway.
func TestSecurityHeaders_AllRoutes_Set(t *testing.T) {
	w := startWhole(t)
	_, document := w.get(t, false, http.MethodGet, "/openapi.json", "")
	routes := documentedRoutes(t, document)
	if len(routes) < 20 {
		t.Fatalf("%d routes, want at least 20", len(routes))
	}
	for _, path := range []string{
		"/", "/demo", "/demo/", "/demo/phone.js", "/demo/x/", "/demo/signalr/", "/demo/signalr/signalr.min.js", "/nothing", "/v1/nothing", "/dashboard/",
		"/debug/pprof/", "/mobile-user", "/online-mobile-user", "/online-mobile-user/negotiate", "/business-user/negotiate", "/.well-known/esh3ar-cluster",
	} {
		routes = append(routes, [2]string{"GET", path}, [2]string{"POST", path}, [2]string{"PATCH", path})
	}
	for _, viaGateway := range []bool{false, true} {
		for _, route := range routes {
			for _, token := range []string{"", w.key} {
				resp, _ := w.get(t, viaGateway, route[0], route[1], token)
				checkSecurityHeaders(t, viaGateway, route, resp)
			}
		}
	}
}

func checkSecurityHeaders(t *testing.T, viaGateway bool, route [2]string, resp *http.Response) {
	t.Helper()
	want := map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Content-Security-Policy": "frame-ancestors 'none'"}
	if route == [2]string{"POST", "/v1/messages"} && !viaGateway { // JSON for programs, and the call that must be quick
		want = map[string]string{"X-Content-Type-Options": "nosniff"}
	}
	for name, value := range want {
		got := resp.Header.Values(name)
		if len(got) != 1 || !strings.Contains(got[0], value) {
			t.Errorf("gateway %v, %v, %d: %s is %q, want one with %q", viaGateway, route, resp.StatusCode, name, got, value)
		}
	}
}

// TestDemo_ThroughGateway_KeepsItsPolicyAndListsNothing: the policy of a page is its own, and a folder is answered 404.
func TestDemo_ThroughGateway_KeepsItsPolicyAndListsNothing(t *testing.T) {
	w := startWhole(t)
	for _, viaGateway := range []bool{false, true} {
		resp, page := w.get(t, viaGateway, http.MethodGet, "/demo/", "")
		if got := resp.Header.Get("Content-Security-Policy"); !strings.Contains(got, "script-src 'self'") || !strings.Contains(page, "<html") {
			t.Errorf("gateway %v: %d, policy %q, want the page's own", viaGateway, resp.StatusCode, got)
		}
		for _, path := range []string{"/demo/signalr", "/demo/signalr/", "/demo/x/", "/demo/..", "/demo/../", "/demo/./", "/demo/signalr/..", "/demo//", "/demo/%2e%2e/"} {
			resp, body := w.get(t, viaGateway, http.MethodGet, path, "")
			if resp.StatusCode < 400 || strings.Contains(body, "<pre>") {
				t.Errorf("gateway %v, %s: %d %q, want an error and no listing", viaGateway, path, resp.StatusCode, body)
			}
		}
	}
}
