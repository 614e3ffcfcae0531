package httpapi_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/esh3artech/esh3ar/internal/eventfeed"
	"github.com/esh3artech/esh3ar/internal/httpapi"
	"github.com/esh3artech/esh3ar/internal/opaque"
)

// otherBusinessKey creates another business and returns its API key.
func (n *node) otherBusinessKey(t *testing.T) string {
	t.Helper()
	made := decode[struct{ ID string }](t, n.adminPost(t, "/admin/v1/businesses", `{"name":"Stranger"}`).body)
	return decode[struct{ APIKey string }](t, n.adminPost(t, "/admin/v1/businesses/"+made.ID+"/keys", "").body).APIKey
}

func TestCursor_OfAnotherBusinessOrUse_IsRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	for range 3 {
		n.post(t, "/v1/messages", hello)
	}
	page := decode[struct{ NextCursor string }](t, n.get(t, "/v1/messages?limit=1").body)
	if page.NextCursor == "" {
		t.Fatal("no cursor")
	}
	cursor := url.QueryEscape(page.NextCursor)
	if got := n.get(t, "/v1/messages?limit=1&cursor="+cursor); got.status != http.StatusOK {
		t.Errorf("its own cursor: got %d %s, want %d", got.status, got.body, http.StatusOK)
	}
	wantProblem(t, n.do(t, request{method: "GET", path: "/v1/messages?cursor=" + cursor, token: n.otherBusinessKey(t)}), 422, "validation_failed")
	wantProblem(t, n.get(t, "/v1/dead-letters?cursor="+cursor), 422, "validation_failed")
	wantProblem(t, n.get(t, "/v1/messages?cursor=0123456789abcdef0123456789abcdef"), 422, "validation_failed")
}

func TestEventID_OfAnotherBusiness_IsRefused(t *testing.T) {
	t.Parallel()
	l := newStreamNode(t, eventfeed.Options{})
	lines, end := l.stream(t, "/v1/events", l.auth())
	l.send(t)
	first := nextEvent(t, lines)
	end()
	id := l.send(t)
	again, _ := l.stream(t, "/v1/events?lastEventId="+url.QueryEscape(first.id), l.auth())
	if e := nextEvent(t, again); e.event.Message.String() != id {
		t.Errorf("first event after its own id: got %s, want %s", e.event.Message, id)
	}
	got := l.do(t, request{"GET", "/v1/events", l.node.otherBusinessKey(t), "", map[string]string{"Last-Event-ID": first.id}})
	wantProblem(t, got, 422, "validation_failed")
}

func TestCursor_NodesWithOneSecret_AcceptEachOthers(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	secret := make([]byte, opaque.SecretSize)
	node := func() *node {
		s, err := opaque.New(secret, 0)
		if err != nil {
			t.Fatal(err)
		}
		return n.with(func(c *httpapi.Config) { c.Cursors = s })
	}
	one, two := node(), node()
	for range 3 {
		one.post(t, "/v1/messages", hello)
	}
	page := decode[struct{ NextCursor string }](t, one.get(t, "/v1/messages?limit=1").body)
	if got := two.get(t, "/v1/messages?limit=1&cursor="+url.QueryEscape(page.NextCursor)); got.status != http.StatusOK {
		t.Errorf("another node: got %d %s, want %d", got.status, got.body, http.StatusOK)
	}
}

func TestEvents_IDOfAnEarlierHistory_ResetsAndStreamsAll(t *testing.T) {
	t.Parallel()
	secret := make([]byte, opaque.SecretSize)
	sealer := func(history uint32) *opaque.Sealer {
		s, err := opaque.New(secret, history)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	l := newStreamNode(t, eventfeed.Options{}, func(c *httpapi.Config) { c.Cursors = sealer(1) })
	id := l.send(t)
	earlier := sealer(0).Seal(opaque.Events, l.business, "00000000000000ff")
	lines, _ := l.stream(t, "/v1/events?lastEventId="+url.QueryEscape(earlier), l.auth())
	if e := nextEvent(t, lines); e.name != "reset" || e.data != `{"reason":"restored"}` {
		t.Errorf("first event %q with data %s, want a reset that says restored", e.name, e.data)
	}
	if e := nextEvent(t, lines); e.event.Message.String() != id {
		t.Errorf("second event of %s, want %s", e.event.Message, id)
	}
}
