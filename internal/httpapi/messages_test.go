package httpapi_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar"
)

// accepted is the answer to a sent message.
type accepted struct {
	ID, Status, RecipientPhoneNumber, CreatedAt, CorrelationID, Durability string
	Seq                                                                    uint64
}

// message is the JSON form of a stored message.
type message struct {
	accepted
	MessageContent, Subject, Priority, FailureReason string
	SendAt, ScheduledAt, ExpiresAt, SentAt, EndedAt  esh3ar.Time
	TTLSeconds, Life, Attempts                       int
	Metadata                                         map[string]string
}

type page struct {
	Items      []message
	NextCursor string
}

func (n *node) send(t *testing.T, body string) accepted {
	t.Helper()
	got := n.post(t, "/v1/messages", body)
	if got.status != http.StatusAccepted {
		t.Fatalf("got %d %s, want %d", got.status, got.body, http.StatusAccepted)
	}
	return decode[accepted](t, got.body)
}

const hello = `{"recipientPhoneNumber":"+967771234567","messageContent":"hello"}`

func TestMessage_Sent_IsReadBackUnchanged(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	arabic := strings.Repeat("مرحبا👋🏽e\u0301", 455) + "!"
	got := n.post(t, "/v1/messages", `{"recipientPhoneNumber":"771234567","messageContent":"`+arabic+
		`","subject":"a \"b\"\n\u00e9 \ud83d\ude00","priority":"urgent","correlationId":"ref/1","metadata":{"k~/":"v","":""}}`)
	sent := decode[accepted](t, got.body)
	if got.status != http.StatusAccepted || got.header.Get("Location") != "/v1/messages/"+sent.ID || sent.Durability != "stored" ||
		sent.Status != "queued" || sent.Seq != 1 || sent.RecipientPhoneNumber != "+967771234567" || sent.CorrelationID != "ref/1" {
		t.Fatalf("%d %v %s", got.status, got.header, got.body)
	}
	read := decode[message](t, n.get(t, "/v1/messages/"+sent.ID).body)
	if read.MessageContent != arabic || read.Subject != "a \"b\"\né 😀" || read.Priority != "urgent" || read.Seq != 1 ||
		read.CreatedAt != sent.CreatedAt || len(read.Metadata) != 2 || read.Metadata["k~/"] != "v" {
		t.Errorf("got %+v, want the message as it was sent", read)
	}
	events := n.get(t, "/v1/messages/"+sent.ID+"/events")
	if events.status != http.StatusOK || !strings.Contains(string(events.body), `"version":1`) {
		t.Errorf("history got %d %s, want %d", events.status, events.body, http.StatusOK)
	}
	if head := n.do(t, request{method: "HEAD", path: "/v1/messages/" + sent.ID, token: n.key}); head.status != http.StatusOK {
		t.Errorf("HEAD %d", head.status)
	}
}

func TestBatch_OneMessageInvalid_StoresNothing(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	got := n.post(t, "/v1/messages/batch", `{"messages":[`+hello+`,{"recipientPhoneNumber":"+967771234567","messageContent":"two","priority":"low"}]}`)
	answer := decode[struct {
		BatchID  string
		Messages []accepted
	}](t, got.body)
	if got.status != http.StatusAccepted || len(answer.Messages) != 2 || answer.BatchID == "" || answer.Messages[1].Seq != 2 {
		t.Fatalf("got %d %s, want %d", got.status, got.body, http.StatusAccepted)
	}
	bad := n.post(t, "/v1/messages/batch", `{"messages":[`+hello+`,{"messageContent":7,"x":1},{"recipientPhoneNumber":"12","messageContent":"c"},5]}`)
	wantProblem(t, bad, 422, "validation_failed",
		"/messages/1/messageContent", "/messages/1/x", "/messages/1/recipientPhoneNumber", "/messages/2/recipientPhoneNumber", "/messages/3")
	if list := decode[page](t, n.get(t, "/v1/messages").body); len(list.Items) != 2 {
		t.Errorf("got %d stored messages, want 2", len(list.Items))
	}
	whole := `{"messages":[` + hello + strings.Repeat(","+hello, esh3ar.MaxBatch-1) + `]}`
	if got := n.post(t, "/v1/messages/batch", whole); got.status != http.StatusAccepted {
		t.Errorf("a thousand messages: %d %.200s", got.status, got.body)
	}
	for _, body := range []string{`{"messages":[]}`, strings.Replace(whole, "[", "["+hello+",", 1), `{"messages":{}}`, `{}`} {
		wantProblem(t, n.post(t, "/v1/messages/batch", body), 422, "validation_failed", "/messages")
	}
}

func TestBatch_ManyFaults_NamesEachMessage(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	wild := "{"
	for i := range 30 {
		wild += fmt.Sprintf(`"x%d":1,`, i)
	}
	wild += `"messageContent":"a","recipientPhoneNumber":"+967771234567"}`
	got := n.post(t, "/v1/messages/batch", `{"messages":[`+wild+strings.Repeat(","+wild, esh3ar.MaxBatch-1)+`]}`)
	p := decode[problem](t, got.body)
	named := map[string]bool{}
	for _, e := range p.Errors {
		named[strings.Split(e.Pointer, "/")[2]] = true
	}
	if len(named) != esh3ar.MaxBatch || len(p.Errors) > 2100 {
		t.Errorf("got %d messages named by %d faults, want %d by at most 2100", len(named), len(p.Errors), esh3ar.MaxBatch)
	}
}

func TestIdempotencyKey_Repeat_ReplaysAnswer(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	post := func(path, key, body string) reply {
		return n.do(t, request{"POST", path, n.key, body, map[string]string{"Idempotency-Key": key}})
	}
	first, again := post("/v1/messages", "k", hello), post("/v1/messages", "k", hello)
	if again.status != http.StatusAccepted || again.header.Get("Idempotent-Replayed") != "true" || string(again.body) != string(first.body) ||
		first.header.Get("Idempotent-Replayed") != "" || again.header.Get("Location") != first.header.Get("Location") {
		t.Errorf("first %s\nagain %v %s", first.body, again.header, again.body)
	}
	wantProblem(t, post("/v1/messages", "k", strings.Replace(hello, "hello", "other", 1)), 422, "idempotency_mismatch")
	wantProblem(t, post("/v1/messages", "k", hello+" "), 422, "idempotency_mismatch") // the raw body is compared
	wantProblem(t, post("/v1/messages/batch", "k", `{"messages":[`+hello+`]}`), 422, "idempotency_mismatch")
	wantProblem(t, post("/v1/messages", "e", `{}`), 422, "validation_failed", "/recipientPhoneNumber", "/messageContent")
	if got := post("/v1/messages", "e", hello); got.status != http.StatusAccepted {
		t.Errorf("after an error with this key: got %d %s, want %d", got.status, got.body, http.StatusAccepted)
	}
	batch := `{"messages":[` + hello + `]}`
	one, two := post("/v1/messages/batch", "b", batch), post("/v1/messages/batch", "b", batch)
	if two.header.Get("Idempotent-Replayed") != "true" || string(one.body) != string(two.body) {
		t.Errorf("batch %s\nagain %s", one.body, two.body)
	}
	for _, key := range []string{"", "two words", "ключ", strings.Repeat("k", 256)} {
		got := post("/v1/messages", key, hello)
		wantProblem(t, got, 422, "validation_failed")
		if p := decode[problem](t, got.body); len(p.Errors) != 1 || p.Errors[0].Header != "Idempotency-Key" {
			t.Errorf("key %q: %s", key, got.body)
		}
	}
	if got := post("/v1/messages", strings.Repeat("~", 255), hello); got.status != http.StatusAccepted {
		t.Errorf("the longest key: %d", got.status)
	}
}

func TestCancel_QueuedMessage_IsCanceledOnce(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	var notified []esh3ar.MessageID
	n = n.with(func(c *httpapiConfig) {
		c.OnCanceled = func(_ esh3ar.Recipient, id esh3ar.MessageID, _ esh3ar.Life) { notified = append(notified, id) }
	})
	id := n.send(t, hello).ID
	for range 2 {
		got := n.do(t, request{method: "DELETE", path: "/v1/messages/" + id, token: n.key})
		if m := decode[message](t, got.body); got.status != http.StatusOK || m.Status != "canceled" || m.EndedAt.IsZero() || m.MessageContent != "hello" {
			t.Fatalf("got %d %s, want %d", got.status, got.body, http.StatusOK)
		}
	}
	if len(notified) != 1 || notified[0].String() != id {
		t.Errorf("got the notifications %v, want one of %s", notified, id)
	}
	late := n.send(t, hello)
	lateID, err := esh3ar.ParseMessageID(late.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.store.Settle(t.Context(), []esh3ar.Change{{Message: lateID, Recipient: 967771234567, To: esh3ar.Sent, At: 1}}); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, n.do(t, request{method: "DELETE", path: "/v1/messages/" + late.ID, token: n.key}), 409, "not_cancelable")
	wantProblem(t, n.do(t, request{method: "DELETE", path: "/v1/messages/" + esh3ar.NewMessageID().String(), token: n.key}), 404, "not_found")
}

func TestMessage_OfAnotherBusiness_IsNotFound(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	id := n.send(t, hello).ID
	other := *n
	_, other.key = n.newBusiness(t, "Other")
	for _, a := range []request{
		{method: "GET", path: "/v1/messages/" + id},
		{method: "GET", path: "/v1/messages/" + id + "/events"},
		{method: "DELETE", path: "/v1/messages/" + id},
		{method: "GET", path: "/v1/messages/nonsense"},
	} {
		a.token = other.key
		wantProblem(t, n.do(t, a), 404, "not_found")
	}
	if list := decode[page](t, other.get(t, "/v1/messages").body); len(list.Items) != 0 {
		t.Errorf("got %d listed messages, want 0", len(list.Items))
	}
	if got := decode[message](t, n.get(t, "/v1/messages/"+id).body); got.Status != "queued" {
		t.Errorf("got the status %s, want queued", got.Status)
	}
}

func TestList_PagesAndFilters_SelectMessages(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	var ids []string
	for i := range 7 {
		ids = append(ids, n.send(t, fmt.Sprintf(`{"recipientPhoneNumber":"+96777123456%d","messageContent":"m","correlationId":"c%d"}`, i%2, i)).ID)
	}
	slices.Reverse(ids) // newest first
	var seen []string
	for cursor := ""; ; {
		p := decode[page](t, n.get(t, "/v1/messages?limit=3&cursor="+url.QueryEscape(cursor)).body)
		for _, m := range p.Items {
			seen = append(seen, m.ID)
		}
		cursor = p.NextCursor
		if cursor == "" {
			break
		}
	}
	if !slices.Equal(seen, ids) {
		t.Errorf("pages %v, want %v", seen, ids)
	}
	third := decode[message](t, n.get(t, "/v1/messages/"+ids[3]).body)
	for query, want := range map[string]int{
		"recipientPhoneNumber=%2B967771234561": 3, "recipientPhoneNumber=771234561": 3, "correlationId=c4": 1,
		"status=queued,pending": 7, "status=delivered": 0, "limit=500": 7, "until=2020-01-01T00:00:00Z": 0, "until=1970-01-01T00:00:00Z": 0,
		"from=2020-01-01T00:00:00Z": 7, "until=" + url.QueryEscape(third.CreatedAt) + "&correlationId=c3": 0,
		"from=" + url.QueryEscape(third.CreatedAt) + "&correlationId=c3": 1,
	} {
		got := n.get(t, "/v1/messages?"+query)
		if p := decode[page](t, got.body); got.status != http.StatusOK || len(p.Items) != want {
			t.Errorf("%s: got %d with %d messages, want 200 with %d", query, got.status, len(p.Items), want)
		}
	}
	got := n.get(t, "/v1/messages?limit=0&status=lost&from=now&x=1&recipientPhoneNumber=7&until=1&correlationId=&limit=2")
	wantProblem(t, got, 422, "validation_failed")
	var named []string
	for _, e := range decode[problem](t, got.body).Errors {
		named = append(named, e.Parameter)
	}
	if want := []string{"correlationId", "from", "limit", "limit", "recipientPhoneNumber", "status", "until", "x"}; !slices.Equal(named, want) {
		t.Errorf("named %v, want %v", named, want)
	}
	got = n.get(t, "/v1/messages?cursor=nonsense")
	wantProblem(t, got, 422, "validation_failed")
	if p := decode[problem](t, got.body); len(p.Errors) != 1 || p.Errors[0].Parameter != "cursor" {
		t.Errorf("cursor: %s", got.body)
	}
}
