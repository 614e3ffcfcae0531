package httpapi_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ratelimit"
)

// withPlan changes the plan default, which the business default has.
func (n *node) withPlan(t *testing.T, plan string) *node {
	t.Helper()
	if got := n.adminDo(t, "PUT", "/admin/v1/plans/default", plan); got.status != http.StatusOK {
		t.Fatalf("got %d %s, want %d", got.status, got.body, http.StatusOK)
	}
	return n
}

func wantLimits(t *testing.T, got reply, policy, limit string) {
	t.Helper()
	if p, l := got.header.Get("RateLimit-Policy"), got.header.Get("RateLimit"); p != policy || !strings.HasPrefix(l, limit) {
		t.Errorf("%d: RateLimit-Policy: %s\nRateLimit: %s\nwant %s\n%s", got.status, p, l, policy, limit)
	}
}

func TestRateLimit_QuotaUsedUp_Is429(t *testing.T) {
	t.Parallel()
	n := newNode(t).withPlan(t, `{"level":"basic","rate":0.01,"burst":3}`)
	const policy = `"rate";q=3;w=300`
	wantLimits(t, n.get(t, "/v1/messages"), policy, `"rate";r=3;t=0`) // reads do not count
	wantLimits(t, n.post(t, "/v1/messages", hello), policy, `"rate";r=2;t=100`)
	wantLimits(t, n.post(t, "/v1/messages", `{}`), policy, `"rate";r=1;t=200`) // an invalid call counts
	got := n.post(t, "/v1/messages/batch", `{"messages":[`+hello+`,`+hello+`]}`)
	wantProblem(t, got, 429, "rate_limited")
	wantLimits(t, got, policy, `"rate";r=1;t=200`)
	if after, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || after < 99 || after > 101 {
		t.Errorf("Retry-After: %s", got.header.Get("Retry-After"))
	}
	if got := n.post(t, "/v1/messages/batch", `{"messages":[`+hello+`]}`); got.status != http.StatusAccepted {
		t.Errorf("got %d %s, want %d", got.status, got.body, http.StatusAccepted)
	} else {
		wantLimits(t, got, policy, `"rate";r=0;t=300`)
	}
	wantProblem(t, n.post(t, "/v1/messages", hello), 429, "rate_limited")
	never := n.post(t, "/v1/messages/batch", `{"messages":[`+strings.Repeat(hello+`,`, 3)+hello+`]}`)
	wantProblem(t, never, 422, "validation_failed", "/messages")
	if list := decode[struct{ Items []any }](t, n.get(t, "/v1/messages").body); len(list.Items) != 2 {
		t.Errorf("got %d stored messages, want 2", len(list.Items))
	}
	if got := n.withPlan(t, `{"level":"basic","rate":1000,"burst":1000}`).post(t, "/v1/messages", hello); got.status != http.StatusAccepted {
		t.Errorf("with another plan: got %d %s, want %d", got.status, got.body, http.StatusAccepted)
	}
}

func TestUsage_Calls_AreCountedPerDay(t *testing.T) {
	t.Parallel()
	n := newNode(t).withPlan(t, `{"level":"premium","rate":100,"burst":100,"dailyQuota":4}`)
	n.post(t, "/v1/messages", hello)
	n.do(t, request{method: "POST", path: "/v1/messages", token: n.key, body: hello, header: map[string]string{"Idempotency-Key": "k"}})
	n.do(t, request{method: "POST", path: "/v1/messages", token: n.key, body: hello, header: map[string]string{"Idempotency-Key": "k"}}) // a replay
	n.post(t, "/v1/messages", `{}`)
	n.post(t, "/v1/messages/batch", `{"messages":[`+hello+`]}`)
	over := n.post(t, "/v1/messages/batch", `{"messages":[`+hello+`,`+hello+`]}`)
	wantProblem(t, over, 429, "rate_limited")
	if l := over.header.Get("RateLimit"); !strings.Contains(l, `,"day";r=1;t=`) {
		t.Errorf("RateLimit: %s", l)
	}
	got := n.get(t, "/v1/usage")
	answer := decode[struct {
		Plan           struct{ Name, Level string }
		RemainingToday int
		Days           []struct {
			Date              string
			Messages, Refused int
		}
	}](t, got.body)
	today := esh3ar.DayOf(esh3ar.NewMessageID().CreatedAt()).String()
	if answer.Plan.Level != "premium" || answer.RemainingToday != 1 || len(answer.Days) != 1 || answer.Days[0].Messages != 3 || answer.Days[0].Refused != 2 || answer.Days[0].Date != today {
		t.Errorf("%d %s", got.status, got.body)
	}
	for _, bad := range []string{"days=0", "days=93", "days=x", "days=1&days=2", "month=1"} {
		wantProblem(t, n.get(t, "/v1/usage?"+bad), 422, "validation_failed")
	}
	wantProblem(t, n.adminDo(t, "GET", "/v1/usage", ""), 403, "forbidden")
}

func TestConcurrentCalls_BeyondPlan_Is429(t *testing.T) {
	t.Parallel()
	n := newNode(t).withPlan(t, `{"level":"basic","rate":100,"burst":100,"concurrentCalls":1}`)
	business := n.config.Quotas
	caller, err := n.config.Keys.Authenticate(t.Context(), n.key)
	if err != nil {
		t.Fatal(err)
	}
	other := business.For(caller.Business, caller.Plan) // a call in progress
	if err := other.Enter(); err != nil {
		t.Fatal(err)
	}
	got := n.get(t, "/v1/messages")
	wantProblem(t, got, 429, "rate_limited")
	wantLimits(t, got, `"rate";q=100;w=1,"calls";q=1;qu="concurrent-requests"`, `"rate";r=100`)
	other.Leave(0, 0)
	for range 2 { // each call releases its slot
		if got := n.get(t, "/v1/messages"); got.status != http.StatusOK {
			t.Errorf("got %d %s, want %d", got.status, got.body, http.StatusOK)
		}
	}
}

func (n *node) postWithKey(t *testing.T, path, key, body string) reply {
	t.Helper()
	return n.do(t, request{"POST", path, n.key, body, map[string]string{"Idempotency-Key": key}})
}

func TestKeyedReplay_AllCallsAtOnceUsed_GetsTheStoredAnswer(t *testing.T) {
	t.Parallel()
	for path, body := range map[string]string{"/v1/messages": hello, "/v1/messages/batch": `{"messages":[` + hello + `]}`} {
		n := newNode(t).withPlan(t, `{"level":"basic","rate":100,"burst":100,"concurrentCalls":1}`)
		first := n.postWithKey(t, path, "k1", body)
		caller, err := n.config.Keys.Authenticate(t.Context(), n.key)
		if err != nil {
			t.Fatal(err)
		}
		other := n.config.Quotas.For(caller.Business, caller.Plan) // a call in progress
		if err := other.Enter(); err != nil {
			t.Fatal(err)
		}
		if again := n.postWithKey(t, path, "k1", body); again.status != http.StatusAccepted || string(again.body) != string(first.body) {
			t.Errorf("%s again: %d %s; want 202 %s", path, again.status, again.body, first.body)
		}
		wantProblem(t, n.postWithKey(t, path, "k2", body), 429, "rate_limited")
		wantProblem(t, n.post(t, path, body), 429, "rate_limited")
		other.Leave(0, 0)
		for _, key := range []string{"k3", "k4"} { // each gives its place back
			if got := n.postWithKey(t, path, key, body); got.status != http.StatusAccepted {
				t.Errorf("%s: %d %s", path, got.status, got.body)
			}
		}
	}
}

func TestKeyedReplay_QuotaUsedUp_GetsTheStoredAnswer(t *testing.T) {
	t.Parallel()
	for path, body := range map[string]string{"/v1/messages": hello, "/v1/messages/batch": `{"messages":[` + hello + `]}`} {
		n := newNode(t).withPlan(t, `{"level":"basic","rate":0.01,"burst":2,"dailyQuota":2}`)
		first, second := n.postWithKey(t, path, "k1", body), n.postWithKey(t, path, "k2", body)
		if first.status != http.StatusAccepted || second.status != http.StatusAccepted {
			t.Fatalf("%s: %d and %d", path, first.status, second.status)
		}
		for range 5 {
			again := n.postWithKey(t, path, "k2", body)
			if again.status != http.StatusAccepted || string(again.body) != string(second.body) || again.header.Get("Idempotent-Replayed") != "true" {
				t.Errorf("%s again: %d %s; want 202 %s", path, again.status, again.body, second.body)
			}
		}
		wantProblem(t, n.postWithKey(t, path, "k2", strings.Replace(body, "hello", "other", 1)+" "), 422, "idempotency_mismatch")
		wantProblem(t, n.postWithKey(t, path, "k3", body), 429, "rate_limited")
		wantProblem(t, n.post(t, path, body), 429, "rate_limited")
	}
}

func TestKeyedReplay_Flood_IsLimited(t *testing.T) {
	t.Parallel()
	n := newNode(t).withPlan(t, `{"level":"basic","rate":0.001,"burst":1}`)
	n.postWithKey(t, "/v1/messages", "k", hello)
	answered := 0
	for range 400 {
		got := n.postWithKey(t, "/v1/messages", "k", hello)
		if got.status != http.StatusAccepted {
			wantProblem(t, got, 429, "rate_limited")
			break
		}
		answered++
	}
	if answered < 100 || answered == 400 {
		t.Errorf("got %d of 400 replays answered, want at least 100 and fewer than 400", answered)
	}
}

func TestInboxFull_OneRecipient_OthersAreAccepted(t *testing.T) {
	t.Parallel()
	n := newNode(t).withPlan(t, `{"level":"basic","rate":1000,"burst":1000,"inboxLimit":3,"recipientRate":1000,"recipientBurst":1000}`)
	n = n.with(func(c *httpapiConfig) { c.Recipients = ratelimit.NewRecipients(n.store, nil) })
	refused := 0
	for range 20 {
		if got := n.post(t, "/v1/messages", hello); got.status != http.StatusAccepted {
			refused++
			wantProblem(t, got, 429, "inbox_full")
			if got.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		}
	}
	if refused < 16 || refused > 17 { // 3 messages, and 1 that may pass before the count is known
		t.Errorf("got %d of 20 refused, want 16 or 17", refused)
	}
	if got := n.post(t, "/v1/messages", strings.Replace(hello, "771234567", "771234568", 1)); got.status != http.StatusAccepted {
		t.Errorf("another recipient: got %d %s, want %d", got.status, got.body, http.StatusAccepted)
	}
	four := strings.Repeat(hello+",", 3) + hello
	wantProblem(t, n.post(t, "/v1/messages/batch", `{"messages":[`+four+`]}`), 422, "validation_failed", "/messages")
	n.withPlan(t, `{"level":"basic","rate":1000,"burst":1000,"recipientRate":0.01,"recipientBurst":2}`)
	for range 3 {
		got := n.post(t, "/v1/messages", strings.Replace(hello, "771234567", "771234569", 1))
		if got.status != http.StatusAccepted {
			wantProblem(t, got, 429, "recipient_rate_limited")
			return
		}
	}
	t.Error("got three messages at once to one recipient accepted, want the third refused")
}
