package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
)

// helloWith returns the body hello with more members.
func helloWith(members string) string { return strings.TrimSuffix(hello, "}") + "," + members + "}" }

func (n *node) read(t *testing.T, id string) message {
	t.Helper()
	got := n.get(t, "/v1/messages/"+id)
	if got.status != http.StatusOK {
		t.Fatalf("got %d %s, want %d", got.status, got.body, http.StatusOK)
	}
	return decode[message](t, got.body)
}

func TestSendAt_Future_IsScheduled(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	due := esh3ar.TimeOf(time.Now().Add(time.Hour))
	got := n.post(t, "/v1/messages", helloWith(`"sendAt":"`+due.String()+`","ttlSeconds":60`))
	sent := decode[accepted](t, got.body)
	if got.status != http.StatusAccepted || sent.Status != "scheduled" || sent.Seq != 0 || strings.Contains(string(got.body), `"seq"`) {
		t.Fatalf("got %d %s, want %d", got.status, got.body, http.StatusAccepted)
	}
	read := n.read(t, sent.ID)
	if read.Status != "scheduled" || read.Seq != 0 || read.SendAt != due || read.ScheduledAt != due || read.TTLSeconds != 60 ||
		read.ExpiresAt != due.Add(time.Minute) || read.Life != 1 {
		t.Errorf("got %+v, want it scheduled for %s", read, due)
	}
	if list := decode[page](t, n.get(t, "/v1/messages?status=scheduled").body); len(list.Items) != 1 || list.Items[0].ScheduledAt != due {
		t.Errorf("got the list %+v, want one message scheduled for %s", list.Items, due)
	}
	if inbox, err := n.store.Pending(t.Context(), esh3ar.InboxQuery{Recipient: 967771234567, Limit: 10, Bytes: 1 << 20}); err != nil || len(inbox.Records) != 0 {
		t.Errorf("got %d messages in the inbox, %v; want 0", len(inbox.Records), err)
	}
	for range 2 { // a canceled message still has its scheduledAt
		got := n.do(t, request{method: "DELETE", path: "/v1/messages/" + sent.ID, token: n.key})
		if m := decode[message](t, got.body); got.status != http.StatusOK || m.Status != "canceled" || m.ScheduledAt != due || m.Seq != 0 {
			t.Errorf("got %d %s, want %d", got.status, got.body, http.StatusOK)
		}
	}
}

func TestSendAt_Past_IsQueuedNow(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	for _, past := range []string{"1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "2020-02-29T23:59:59.9999+03:00"} {
		sent := n.send(t, helloWith(`"sendAt":"`+past+`","ttlSeconds":2592000`))
		read := n.read(t, sent.ID)
		created := mustID(t, sent.ID).CreatedAt()
		if sent.Status != "queued" || sent.Seq == 0 || read.SendAt != 0 || read.ScheduledAt != 0 || read.ExpiresAt != created.Add(30*24*time.Hour) {
			t.Errorf("%s: got %+v, stored as %+v; want it queued with 30 days to live", past, sent, read)
		}
	}
	if read := n.read(t, n.send(t, hello).ID); read.TTLSeconds != 0 || read.ExpiresAt != 0 || read.Life != 1 {
		t.Errorf("without a time to live: got %+v, want no expiry", read)
	}
}

func TestSendAt_BeyondMaximum_IsRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	far := func(d time.Duration) string {
		return helloWith(`"sendAt":"` + time.Now().Add(d).Format(time.RFC3339) + `"`)
	}
	const days = 90 * 24 * time.Hour
	if sent := n.send(t, far(days-time.Minute)); sent.Status != "scheduled" {
		t.Errorf("just below the maximum: got %+v, want it scheduled", sent)
	}
	wantProblem(t, n.post(t, "/v1/messages", far(days+time.Minute)), 422, "validation_failed", "/sendAt")
}

func TestBatch_Times_AreSetPerMessage(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	due := esh3ar.TimeOf(time.Now().Add(time.Hour))
	got := n.post(t, "/v1/messages/batch", `{"messages":[`+helloWith(`"sendAt":"`+due.String()+`"`)+`,`+helloWith(`"ttlSeconds":1.0`)+`,`+hello+`]}`)
	list := decode[struct{ Messages []accepted }](t, got.body).Messages
	if got.status != http.StatusAccepted || len(list) != 3 {
		t.Fatalf("got %d %s, want %d", got.status, got.body, http.StatusAccepted)
	}
	late, short, plain := n.read(t, list[0].ID), n.read(t, list[1].ID), n.read(t, list[2].ID)
	if late.Status != "scheduled" || late.SendAt != due || late.ExpiresAt != 0 {
		t.Errorf("got %+v, want it scheduled for %s", late, due)
	}
	if short.Seq != 1 || short.SendAt != 0 || short.TTLSeconds != 1 || short.ExpiresAt != mustID(t, short.ID).CreatedAt().Add(time.Second) {
		t.Errorf("got %+v, want a time to live of 1 s", short)
	}
	if plain.Seq != 2 || plain.SendAt != 0 || plain.TTLSeconds != 0 {
		t.Errorf("got %+v, want seq 2 and no times", plain)
	}
	bad := n.post(t, "/v1/messages/batch", `{"messages":[`+hello+`,`+helloWith(`"sendAt":1,"ttlSeconds":0`)+`]}`)
	wantProblem(t, bad, 422, "validation_failed", "/messages/1/sendAt", "/messages/1/ttlSeconds")
}
