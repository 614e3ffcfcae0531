package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
)

// newBusiness creates a business with an API key.
func (n *node) newBusiness(t *testing.T, name string) (id, key string) {
	t.Helper()
	made := decode[struct{ ID string }](t, n.adminPost(t, "/admin/v1/businesses", `{"name":"`+name+`"}`).body)
	keyed := decode[struct{ APIKey string }](t, n.adminPost(t, "/admin/v1/businesses/"+made.ID+"/keys", "").body)
	return made.ID, keyed.APIKey
}

func TestAdmin_BusinessWithKey_SendsUntilRevoked(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	made := n.adminPost(t, "/admin/v1/businesses", `{"name":"Bank of Aden"}`)
	business := decode[struct{ ID, Name string }](t, made.body)
	if made.status != http.StatusCreated || business.Name != "Bank of Aden" {
		t.Fatalf("got %d %s, want %d", made.status, made.body, http.StatusCreated)
	}
	path := "/admin/v1/businesses/" + business.ID + "/keys"
	got := n.adminPost(t, path, `{}`)
	key := decode[struct{ ID, APIKey string }](t, got.body)
	if got.status != http.StatusCreated || !strings.HasPrefix(key.APIKey, "esk_") || got.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("got %d %s, want %d", got.status, got.body, http.StatusCreated)
	}
	bank := *n
	bank.key = key.APIKey
	sent := bank.send(t, hello)
	record, err := n.store.Message(t.Context(), mustID(t, sent.ID))
	if err != nil || record.From != "Bank of Aden" {
		t.Errorf("got from %q, %v; want Bank of Aden", record.From, err)
	}
	for range 2 { // revoking again is no error
		if got := n.do(t, request{method: "DELETE", path: path + "/" + key.ID, token: n.admin}); got.status != http.StatusNoContent || len(got.body) > 0 {
			t.Errorf("got %d %s, want %d", got.status, got.body, http.StatusNoContent)
		}
	}
	wantProblem(t, bank.get(t, "/v1/messages"), 401, "unauthenticated") // takes effect on this node immediately
	unknown := esh3ar.NewBusinessID().String()
	wantProblem(t, n.adminPost(t, "/admin/v1/businesses/"+unknown+"/keys", ""), 404, "not_found")
	wantProblem(t, n.adminPost(t, "/admin/v1/businesses/x/keys", ""), 404, "not_found")
	wantProblem(t, n.do(t, request{method: "DELETE", path: "/admin/v1/businesses/" + unknown + "/keys/" + key.ID, token: n.admin}), 404, "not_found")
	wantProblem(t, n.do(t, request{method: "DELETE", path: path + "/x", token: n.admin}), 404, "not_found")
}

func mustID(t *testing.T, text string) esh3ar.MessageID {
	t.Helper()
	id, err := esh3ar.ParseMessageID(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestAdmin_InvalidBodies_NameEachField(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	wantProblem(t, n.adminPost(t, "/admin/v1/businesses", ""), 422, "validation_failed", "/name")
	wantProblem(t, n.adminPost(t, "/admin/v1/businesses", `{"name":"","x":1}`), 422, "validation_failed", "/name", "/x")
	wantProblem(t, n.adminPost(t, "/admin/v1/businesses", `{"name":"`+strings.Repeat("é", 129)+`"}`), 422, "validation_failed", "/name")
	wantProblem(t, n.adminPost(t, "/admin/v1/businesses", `{"name":"\u0000"}`), 422, "invalid_character", "/name")
	wantProblem(t, n.adminPost(t, "/admin/v1/businesses", `{"name":"a","plan":"gold"}`), 422, "validation_failed", "/plan")
	wantProblem(t, n.adminPost(t, "/admin/v1/businesses", `{"name":"a","plan":""}`), 422, "validation_failed", "/plan")
	wantProblem(t, n.adminPost(t, "/admin/v1/businesses", `{"name":"a","name":"b"}`), 400, "invalid_json")
	wantProblem(t, n.adminPost(t, "/admin/v1/businesses", `"a"`), 422, "validation_failed", "")
	wantProblem(t, n.adminPost(t, "/admin/v1/device-tokens", `{"phoneNumber":"1","deviceId":"","ttlSeconds":59}`), 422, "validation_failed", "/phoneNumber", "/deviceId", "/ttlSeconds")
	wantProblem(t, n.adminPost(t, "/admin/v1/device-tokens", `{"phoneNumber":7,"deviceId":null,"ttlSeconds":2592001}`), 422, "validation_failed", "/phoneNumber", "/deviceId", "/ttlSeconds")
}

func TestDeviceToken_Created_VerifiesUntilExpiry(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	for body, life := range map[string]time.Duration{
		`{"phoneNumber":"771234567"}`: 24 * time.Hour,
		`{"phoneNumber":"+967 771 234 567","deviceId":"phone 1","ttlSeconds":60}`: time.Minute,
	} {
		got := n.adminPost(t, "/admin/v1/device-tokens", body)
		answer := decode[struct {
			AccessToken string
			ExpiresAt   time.Time
		}](t, got.body)
		device, err := n.config.Tokens.Verify(answer.AccessToken)
		if got.status != http.StatusOK || err != nil || device.Recipient != 967771234567 || !device.Expires.Equal(answer.ExpiresAt) {
			t.Errorf("got %d %s, which verifies as %+v, %v; want recipient 967771234567 until %s", got.status, got.body, device, err, answer.ExpiresAt)
		}
		if left := time.Until(answer.ExpiresAt); left > life || left < life-time.Minute {
			t.Errorf("%s: got a lifetime of %s, want %s", body, left, life)
		}
	}
}

func TestOperations_Routes_AnswerAndAreObserved(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	for path, holds := range map[string]string{
		"/livez": "ok", "/readyz": "ready", "/metrics": "up 1", "/openapi.json": `"openapi": "3.1`, "/docs": "POST",
	} {
		if got := n.do(t, request{method: "GET", path: path}); got.status != http.StatusOK || !strings.Contains(string(got.body), holds) {
			t.Errorf("%s: got %d %.200s, want 200 with %q", path, got.status, got.body, holds)
		}
	}
	var seen []string
	stopping := n.with(func(c *httpapiConfig) {
		c.Ready = func() error { return esh3ar.Errorf(esh3ar.Overloaded, "stopping") }
		c.Observe = func(route string, status int, _ time.Duration) {
			seen = append(seen, route+" "+http.StatusText(status))
		}
	})
	wantProblem(t, stopping.do(t, request{method: "GET", path: "/readyz"}), 503, "overloaded")
	stopping.get(t, "/v1/messages/"+esh3ar.NewMessageID().String())
	stopping.get(t, "/nowhere")
	if want := "/readyz Service Unavailable, /v1/messages/{id} Not Found, other Not Found"; strings.Join(seen, ", ") != want {
		t.Errorf("observed %q, want %q", seen, want)
	}
}

func TestDocs_Page_LoadsNoExternalResource(t *testing.T) {
	t.Parallel()
	body := string(newNode(t).do(t, request{method: "GET", path: "/docs"}).body)
	for _, bad := range []string{"<script", "src=", "@import", "<no value>", "%!"} {
		if strings.Contains(body, bad) {
			t.Errorf("the page contains %s, want it not to", bad)
		}
	}
	for _, code := range []string{"validation_failed", "outcome_unknown"} {
		if !strings.Contains(body, `id="`+code+`"`) {
			t.Errorf("the page has no element with id %s, to which the problem type refers", code)
		}
	}
}
