package httpapi_test

import (
	"net/http"
	"testing"
)

func (n *node) deviceToken(t *testing.T, device string) string {
	t.Helper()
	got := n.adminPost(t, "/admin/v1/device-tokens", `{"phoneNumber":"+967771234567","deviceId":"`+device+`"}`)
	return decode[struct{ AccessToken string }](t, got.body).AccessToken
}

func TestSigningKeys(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	type list struct {
		Items []struct {
			ID, PublicKey string
			Signs         bool
		}
	}
	read := func() list {
		return decode[list](t, n.do(t, ask{method: "GET", path: "/admin/v1/signing-keys", token: n.admin}).body)
	}
	first := read()
	if len(first.Items) != 1 || !first.Items[0].Signs || first.Items[0].PublicKey == "" {
		t.Fatalf("%+v", first)
	}
	token := n.deviceToken(t, "a")
	made := n.adminPost(t, "/admin/v1/signing-keys", "")
	if made.status != http.StatusCreated || len(decode[list](t, made.body).Items) != 2 {
		t.Errorf("%d %s", made.status, made.body)
	}
	if _, err := n.config.Tokens.Verify(token); err != nil {
		t.Errorf("a token of before: %v", err)
	}
	wantProblem(t, n.do(t, ask{method: "DELETE", path: "/admin/v1/signing-keys/" + first.Items[0].ID, token: n.admin}), 409, "credential_in_use")
	wantProblem(t, n.do(t, ask{method: "DELETE", path: "/admin/v1/signing-keys/x", token: n.admin}), 404, "not_found")
	if got := n.adminPost(t, "/admin/v1/signing-keys", `{"endOthers":true}`); got.status != http.StatusCreated || len(read().Items) != 1 {
		t.Errorf("%d %s", got.status, got.body)
	}
	if _, err := n.config.Tokens.Verify(token); err == nil {
		t.Error("a token of an ended key is good")
	}
	if got := n.adminPost(t, "/admin/v1/signing-keys", ""); got.status != http.StatusCreated {
		t.Fatalf("%d %s", got.status, got.body)
	}
	pending := read().Items[0]
	if got := n.do(t, ask{method: "DELETE", path: "/admin/v1/signing-keys/" + pending.ID, token: n.admin}); got.status != http.StatusNoContent || len(read().Items) != 1 {
		t.Errorf("%d %s", got.status, got.body)
	}
	wantProblem(t, n.adminPost(t, "/admin/v1/signing-keys", `{"endOthers":1}`), 422, "validation_failed", "/endOthers")
	wantProblem(t, n.do(t, ask{method: "GET", path: "/admin/v1/signing-keys", token: n.key}), 403, "forbidden")
}

func TestRevokedTokens(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	good := func(token string) bool { _, err := n.config.Tokens.Verify(token); return err == nil }
	a, b := n.deviceToken(t, "a"), n.deviceToken(t, "b")
	if got := n.do(t, ask{method: "DELETE", path: "/admin/v1/phones/+967771234567/devices/a", token: n.admin}); got.status != http.StatusNoContent || good(a) || !good(b) {
		t.Errorf("%d %s: %v %v", got.status, got.body, good(a), good(b))
	}
	if !good(n.deviceToken(t, "a")) {
		t.Error("a token that was made afterwards is void")
	}
	if got := n.adminPost(t, "/admin/v1/phones/771234567/revoke", ""); got.status != http.StatusNoContent || good(b) {
		t.Errorf("%d %s: %v", got.status, got.body, good(b))
	}
	wantProblem(t, n.adminPost(t, "/admin/v1/phones/1/revoke", ""), 404, "not_found")
	wantProblem(t, n.do(t, ask{method: "DELETE", path: "/admin/v1/phones/1/devices/a", token: n.admin}), 404, "not_found")
	wantProblem(t, n.do(t, ask{method: "DELETE", path: "/admin/v1/phones/+967771234567/devices/a", token: n.key}), 403, "forbidden")
}

func TestAdminToken(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	got := n.adminPost(t, "/admin/v1/admin-token", "")
	made := decode[struct{ AdminToken string }](t, got.body).AdminToken
	if got.status != http.StatusCreated || got.header.Get("Cache-Control") != "no-store" || !n.config.Admin.Is(made) {
		t.Fatalf("%d %s", got.status, got.body)
	}
	wantProblem(t, n.adminPost(t, "/admin/v1/admin-token", ""), 401, "unauthenticated")
}
