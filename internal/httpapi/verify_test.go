package httpapi_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/httpapi"
)

// verifier is a fake esh3ar.Verifier.
type verifier func(ctx context.Context, repair bool, found func(esh3ar.Finding)) (esh3ar.VerifyReport, error)

func (v verifier) Verify(ctx context.Context, repair bool, found func(esh3ar.Finding)) (esh3ar.VerifyReport, error) {
	return v(ctx, repair, found)
}

// verification is the answer to a verification.
type verification struct {
	Survey    map[string]int
	Findings  []esh3ar.Finding
	Truncated bool
	Unmended  int
}

func (n *node) withVerifier(v verifier) *node {
	return n.with(func(c *httpapiConfig) { c.Verifier = v })
}

func (n *node) verify(t *testing.T, body string) verification {
	t.Helper()
	got := n.adminPost(t, "/admin/v1/verify", body)
	if got.status != http.StatusOK {
		t.Fatalf("got %d %s, want %d", got.status, got.body, http.StatusOK)
	}
	return decode[verification](t, got.body)
}

func TestVerify_Findings_AreReturned(t *testing.T) {
	t.Parallel()
	about := esh3ar.Finding{Check: "orphan", Where: "row 1", Detail: "d", Action: esh3ar.SetAside, Message: esh3ar.NewMessageID(), Recipient: 967771234567, Seq: 3}
	n := newNode(t).withVerifier(func(_ context.Context, repair bool, found func(esh3ar.Finding)) (esh3ar.VerifyReport, error) {
		if !repair {
			return esh3ar.VerifyReport{Messages: 7}, nil
		}
		found(about)
		found(esh3ar.Finding{Check: "c", Where: "w", Detail: "d", Action: esh3ar.Reported})
		return esh3ar.VerifyReport{Messages: 7, Findings: 2}, nil
	})
	for _, body := range []string{"", "{}", `{"repair":false}`} {
		got := n.adminPost(t, "/admin/v1/verify", body)
		if v := n.verify(t, body); v.Survey["messages"] != 7 || len(v.Findings) != 0 || v.Truncated || !strings.Contains(string(got.body), `"findings":[]`) {
			t.Errorf("%q: got %+v, want 7 messages and no findings", body, v)
		}
	}
	v := n.verify(t, `{"repair":true}`)
	if len(v.Findings) != 2 || v.Findings[0] != about || v.Unmended != 1 || v.Survey["findings"] != 2 {
		t.Errorf("got %+v, want both findings, one of them not repaired", v)
	}
}

func TestVerify_ManyFindings_TruncatesAnswer(t *testing.T) {
	t.Parallel()
	for count, truncated := range map[int]bool{1000: false, 1001: true, 5000: true} {
		n := newNode(t).withVerifier(func(_ context.Context, _ bool, found func(esh3ar.Finding)) (esh3ar.VerifyReport, error) {
			for range count {
				found(esh3ar.Finding{Action: esh3ar.Reported})
			}
			return esh3ar.VerifyReport{Findings: count}, nil
		})
		if v := n.verify(t, ""); len(v.Findings) != 1000 || v.Truncated != truncated || v.Unmended != count {
			t.Errorf("%d findings: got %d returned, truncated %v, unmended %d; want at most 1000 returned", count, len(v.Findings), v.Truncated, v.Unmended)
		}
	}
}

func TestVerify_WhileRunning_IsRefused(t *testing.T) {
	t.Parallel()
	begun, end := make(chan struct{}), make(chan struct{})
	fails := true
	n := newNode(t).withVerifier(func(context.Context, bool, func(esh3ar.Finding)) (esh3ar.VerifyReport, error) {
		begun <- struct{}{}
		<-end
		if fails {
			return esh3ar.VerifyReport{}, esh3ar.Errorf(esh3ar.StoreUnavailable, "closed")
		}
		return esh3ar.VerifyReport{}, nil
	})
	for _, status := range []int{503, 200} { // a failed verification lets the next one start, too
		done := make(chan reply)
		go func() { done <- n.adminPost(t, "/admin/v1/verify", "") }()
		<-begun
		wantProblem(t, n.adminPost(t, "/admin/v1/verify", ""), 409, "already_running")
		end <- struct{}{}
		if got := <-done; got.status != status {
			t.Errorf("%d %s", got.status, got.body)
		}
		fails = false
	}
}

func TestVerify_InvalidCalls_AreRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t).withVerifier(func(context.Context, bool, func(esh3ar.Finding)) (esh3ar.VerifyReport, error) {
		t.Error("an invalid call started a verification")
		return esh3ar.VerifyReport{}, nil
	})
	for body, named := range map[string]string{`{"repair":1}`: "/repair", `{"repair":"true"}`: "/repair", `{"repair":null}`: "/repair", `{"Repair":true}`: "/Repair", `[]`: ""} {
		wantProblem(t, n.adminPost(t, "/admin/v1/verify", body), 422, "validation_failed", named)
	}
	for _, body := range []string{`{"repair":tru}`, `{"repair":true,"repair":true}`, `{`} {
		wantProblem(t, n.adminPost(t, "/admin/v1/verify", body), 400, "invalid_json")
	}
	for _, path := range []string{"/admin/v1/verify", "/admin/v1/breakers"} {
		method := map[bool]string{true: "POST", false: "GET"}[strings.HasSuffix(path, "verify")]
		wantProblem(t, n.do(t, request{method: method, path: path}), 401, "unauthenticated")
		wantProblem(t, n.do(t, request{method: method, path: path, token: n.key}), 403, "forbidden")
	}
	wantProblem(t, n.with(func(c *httpapiConfig) { c.Verifier = nil }).adminPost(t, "/admin/v1/verify", ""), 422, "not_supported")
}

// deadlines is a ResponseWriter that records the read deadline.
type deadlines struct {
	*httptest.ResponseRecorder
	read time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.read = at
	return nil
}

// TestVerify_Long_HasNoReadDeadline checks that the handler removes the server's read deadline, which would otherwise end a
// long verification.
func TestVerify_Long_HasNoReadDeadline(t *testing.T) {
	t.Parallel()
	w := &deadlines{httptest.NewRecorder(), time.Unix(1, 0)}
	n := newNode(t).withVerifier(func(context.Context, bool, func(esh3ar.Finding)) (esh3ar.VerifyReport, error) {
		if !w.read.IsZero() {
			t.Error("got a read deadline, want none")
		}
		return esh3ar.VerifyReport{}, nil
	})
	r := httptest.NewRequest(http.MethodPost, "/admin/v1/verify", nil)
	r.Header.Set("Authorization", "Bearer "+n.admin)
	n.api.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("got %d %s, want 200", w.Code, w.Body)
	}
}

func TestBreakers_Report_ListsOpenBreakers(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	none := n.do(t, request{method: "GET", path: "/admin/v1/breakers", token: n.admin})
	if string(none.body) != `{"dependencies":[],"devices":[],"devicesOpen":0}` {
		t.Errorf("without breakers: got %d %s, want empty lists", none.status, none.body)
	}
	some := n.with(func(c *httpapiConfig) {
		c.Breakers = func() httpapi.BreakerReport {
			return httpapi.BreakerReport{
				Dependencies: []httpapi.DependencyBreaker{{Name: "redis", State: "half_open", Since: 1000, Failures: 5}},
				Devices:      []httpapi.DeviceBreaker{{Recipient: 967771234567, Device: "d", State: "open", Failures: 3, Until: 2000}, {Recipient: 1234, State: "half_open"}},
				DevicesOpen:  2,
			}
		}
	}).do(t, request{method: "GET", path: "/admin/v1/breakers", token: n.admin})
	want := `{"dependencies":[{"name":"redis","state":"half_open","since":"1970-01-01T00:00:01.000Z","failures":5}],` +
		`"devices":[{"recipientPhoneNumber":"+967771234567","deviceId":"d","state":"open","failures":3,"until":"1970-01-01T00:00:02.000Z"},` +
		`{"recipientPhoneNumber":"+1234","deviceId":"","state":"half_open","failures":0}],"devicesOpen":2}`
	if some.status != http.StatusOK || string(some.body) != want {
		t.Errorf("got %d %s\nwant %s", some.status, some.body, want)
	}
}
