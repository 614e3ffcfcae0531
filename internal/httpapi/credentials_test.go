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

func TestSigningKeys_RotateAndEnd_InvalidateTokens(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	type list struct {
		Items []struct {
			ID, PublicKey string
			Signs         bool
		}
	}
	read := func() list {
		return decode[list](t, n.do(t, request{method: "GET", path: "/admin/v1/signing-keys", token: n.admin}).body)
	}
	first := read()
	if len(first.Items) != 1 || !first.Items[0].Signs || first.Items[0].PublicKey == "" {
		t.Fatalf("got %+v, want one key that signs", first)
	}
	token := n.deviceToken(t, "a")
	made := n.adminPost(t, "/admin/v1/signing-keys", "")
	if made.status != http.StatusCreated || len(decode[list](t, made.body).Items) != 2 {
		t.Errorf("got %d %s, want %d", made.status, made.body, http.StatusCreated)
	}
	if _, err := n.config.Tokens.Verify(token); err != nil {
		t.Errorf("token signed before the rotation: got %v, want it valid", err)
	}
	wantProblem(t, n.do(t, request{method: "DELETE", path: "/admin/v1/signing-keys/" + first.Items[0].ID, token: n.admin}), 409, "credential_in_use")
	wantProblem(t, n.do(t, request{method: "DELETE", path: "/admin/v1/signing-keys/x", token: n.admin}), 404, "not_found")
	if got := n.adminPost(t, "/admin/v1/signing-keys", `{"endOthers":true}`); got.status != http.StatusCreated || len(read().Items) != 1 {
		t.Errorf("got %d %s, want %d", got.status, got.body, http.StatusCreated)
	}
	if _, err := n.config.Tokens.Verify(token); err == nil {
		t.Error("token of an ended key: got it valid, want an error")
	}
	if got := n.adminPost(t, "/admin/v1/signing-keys", ""); got.status != http.StatusCreated {
		t.Fatalf("got %d %s, want %d", got.status, got.body, http.StatusCreated)
	}
	pending := read().Items[0]
	if got := n.do(t, request{method: "DELETE", path: "/admin/v1/signing-keys/" + pending.ID, token: n.admin}); got.status != http.StatusNoContent || len(read().Items) != 1 {
		t.Errorf("got %d %s, want %d", got.status, got.body, http.StatusNoContent)
	}
	wantProblem(t, n.adminPost(t, "/admin/v1/signing-keys", `{"endOthers":1}`), 422, "validation_failed", "/endOthers")
	wantProblem(t, n.do(t, request{method: "GET", path: "/admin/v1/signing-keys", token: n.key}), 403, "forbidden")
}

func TestDeviceTokens_Revoked_AreInvalid(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	good := func(token string) bool { _, err := n.config.Tokens.Verify(token); return err == nil }
	a, b := n.deviceToken(t, "a"), n.deviceToken(t, "b")
	if got := n.do(t, request{method: "DELETE", path: "/admin/v1/phones/+967771234567/devices/a", token: n.admin}); got.status != http.StatusNoContent || good(a) || !good(b) {
		t.Errorf("got %d %s, token a valid %v, token b valid %v; want 204, false, true", got.status, got.body, good(a), good(b))
	}
	if !good(n.deviceToken(t, "a")) {
		t.Error("token created after the revocation: got it invalid, want it valid")
	}
	if got := n.adminPost(t, "/admin/v1/phones/771234567/revoke", ""); got.status != http.StatusNoContent || good(b) {
		t.Errorf("got %d %s, token b valid %v; want 204, false", got.status, got.body, good(b))
	}
	wantProblem(t, n.adminPost(t, "/admin/v1/phones/1/revoke", ""), 404, "not_found")
	wantProblem(t, n.do(t, request{method: "DELETE", path: "/admin/v1/phones/1/devices/a", token: n.admin}), 404, "not_found")
	wantProblem(t, n.do(t, request{method: "DELETE", path: "/admin/v1/phones/+967771234567/devices/a", token: n.key}), 403, "forbidden")
}

func TestAdminToken_Rotated_ReplacesOld(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	got := n.adminPost(t, "/admin/v1/admin-token", "")
	made := decode[struct{ AdminToken string }](t, got.body).AdminToken
	if got.status != http.StatusCreated || got.header.Get("Cache-Control") != "no-store" || !n.config.Admin.Is(made) {
		t.Fatalf("got %d %s, want %d", got.status, got.body, http.StatusCreated)
	}
	wantProblem(t, n.adminPost(t, "/admin/v1/admin-token", ""), 401, "unauthenticated")
}
