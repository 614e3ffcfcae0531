package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/eventfeed"
	"github.com/esh3artech/esh3ar/internal/httpapi"
)

// streamNode is a node with an event feed and a real listener: a stream never ends in a ResponseRecorder.
type streamNode struct {
	*node
	feed  *eventfeed.Feed
	drain context.CancelFunc
	url   string
}

func newStreamNode(t *testing.T, o eventfeed.Options, changes ...func(*httpapi.Config)) *streamNode {
	t.Helper()
	n := newNode(t)
	o.Poll = 5 * time.Millisecond
	l := &streamNode{feed: eventfeed.New(n.store, o)}
	draining, drain := context.WithCancel(context.Background())
	l.drain = drain
	l.node = n.with(func(c *httpapi.Config) {
		c.Feed, c.Draining = l.feed, func() context.Context { return draining }
		for _, change := range changes {
			change(c)
		}
	})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.feed.Run(ctx) }()
	server := httptest.NewServer(l.api)
	l.url = server.URL
	t.Cleanup(func() { drain(); server.Close(); http.DefaultClient.CloseIdleConnections(); stop(); <-done })
	return l
}

// stream opens an event stream and returns its lines.
func (l *streamNode) stream(t *testing.T, path string, header map[string]string) (lines *bufio.Scanner, end context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); resp.Body.Close() })
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || kind != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("got %d %v, want 200 with an event stream", resp.StatusCode, resp.Header)
	}
	return bufio.NewScanner(resp.Body), cancel
}

// sse is one event of a stream.
type sse struct {
	name, id string
	data     string
	event    esh3ar.Event
}

// nextEvent reads the next event and skips comments.
func nextEvent(t *testing.T, lines *bufio.Scanner) sse {
	var e sse
	t.Helper()
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = value
			if e.name == "message.status" {
				if err := json.Unmarshal([]byte(value), &e.event); err != nil {
					t.Fatalf("%s: %v", value, err)
				}
			}
		case "":
			if e.name != "" {
				return e
			}
			e = sse{} // the stream starts with an id alone
		}
	}
	t.Fatalf("the stream ended: %v", lines.Err())
	return e
}

func (l *streamNode) auth() map[string]string {
	return map[string]string{"Authorization": "Bearer " + l.key}
}

func (l *streamNode) send(t *testing.T) (id string) {
	t.Helper()
	var sent struct{ ID string }
	if err := json.Unmarshal(l.post(t, "/v1/messages", hello).body, &sent); err != nil {
		t.Fatal(err)
	}
	return sent.ID
}

func TestStream_WithoutEventID_StartsNow(t *testing.T) {
	t.Parallel()
	l := newStreamNode(t, eventfeed.Options{})
	l.send(t)
	lines, _ := l.stream(t, "/v1/events", l.auth())
	id := l.send(t)
	if e := nextEvent(t, lines); e.name != "message.status" || e.event.Message.String() != id || e.event.Version != 1 || e.id == "" {
		t.Errorf("got %+v, want the first event of %s", e, id)
	}
}

// TestStream_CutBeforeFirstEvent_Resumes closes a stream before its first event, on a node without events.
func TestStream_CutBeforeFirstEvent_Resumes(t *testing.T) {
	t.Parallel()
	l := newStreamNode(t, eventfeed.Options{})
	lines, end := l.stream(t, "/v1/events", l.auth())
	position := ""
	for position == "" && lines.Scan() {
		if id, is := strings.CutPrefix(lines.Text(), "id: "); is {
			position = id
		}
	}
	end()
	missed := l.send(t)
	lines, _ = l.stream(t, "/v1/events", map[string]string{"Authorization": "Bearer " + l.key, "Last-Event-ID": position})
	l.send(t)
	if e := nextEvent(t, lines); e.event.Message.String() != missed {
		t.Errorf("got %s, want %s, which was sent in between", e.event.Message, missed)
	}
}

func TestStream_WithEventID_ResumesBehindIt(t *testing.T) {
	t.Parallel()
	l := newStreamNode(t, eventfeed.Options{})
	lines, end := l.stream(t, "/v1/events?access_token="+l.key, nil)
	first := l.send(t)
	seen := nextEvent(t, lines)
	end()
	second, third := l.send(t), l.send(t)
	for name, open := range map[string]func() (*bufio.Scanner, context.CancelFunc){
		"header": func() (*bufio.Scanner, context.CancelFunc) {
			return l.stream(t, "/v1/events?lastEventId=ignored", map[string]string{"Authorization": "Bearer " + l.key, "Last-Event-ID": seen.id})
		},
		"parameter": func() (*bufio.Scanner, context.CancelFunc) {
			return l.stream(t, "/v1/events?lastEventId="+seen.id, l.auth())
		},
	} {
		lines, _ := open()
		for _, want := range []string{second, third} {
			if e := nextEvent(t, lines); e.event.Message.String() != want {
				t.Errorf("%s: got %s, want %s (first was %s)", name, e.event.Message, want, first)
			}
		}
	}
}

func TestStream_EventsExpired_SendsReset(t *testing.T) {
	t.Parallel()
	l := newStreamNode(t, eventfeed.Options{})
	lines, end := l.stream(t, "/v1/events", l.auth())
	l.send(t)
	seen := nextEvent(t, lines)
	end()
	l.send(t)
	if _, err := l.store.TrimEvents(t.Context(), esh3ar.TimeOf(time.Now().Add(time.Minute))); err != nil {
		t.Fatal(err)
	}
	id := l.send(t)
	lines, _ = l.stream(t, "/v1/events?lastEventId="+seen.id, l.auth())
	if e := nextEvent(t, lines); e.name != "reset" || e.id != "" {
		t.Errorf("got %+v first, want a reset", e)
	}
	if e := nextEvent(t, lines); e.event.Message.String() != id {
		t.Errorf("got %+v after the reset, want %s", e, id)
	}
}

func TestStream_EventsOfOthers_AreNotSent(t *testing.T) {
	t.Parallel()
	l := newStreamNode(t, eventfeed.Options{})
	lines, _ := l.stream(t, "/v1/events", l.auth())
	_, key := l.newBusiness(t, "other")
	if got := l.do(t, request{method: "POST", path: "/v1/messages", token: key, body: hello}); got.status != http.StatusAccepted {
		t.Fatalf("got %d %s, want %d", got.status, got.body, http.StatusAccepted)
	}
	mine := l.send(t)
	if e := nextEvent(t, lines); e.event.Message.String() != mine {
		t.Errorf("got %+v, want only %s", e, mine)
	}
}

func TestStream_KeyRevokedOrNodeDrains_Ends(t *testing.T) {
	t.Parallel()
	l := newStreamNode(t, eventfeed.Options{})
	business, key := l.newBusiness(t, "other")
	var made struct{ ID, APIKey string }
	if err := json.Unmarshal(l.adminPost(t, "/admin/v1/businesses/"+business+"/keys", "{}").body, &made); err != nil {
		t.Fatal(err)
	}
	revoked, _ := l.stream(t, "/v1/events?access_token="+made.APIKey, nil)
	other, _ := l.stream(t, "/v1/events?access_token="+key, nil)
	if got := l.do(t, request{method: "DELETE", path: "/admin/v1/businesses/" + business + "/keys/" + made.ID, token: l.admin}); got.status != http.StatusNoContent {
		t.Fatalf("got %d %s, want %d", got.status, got.body, http.StatusNoContent)
	}
	for revoked.Scan() { // until it ends
	}
	if err := revoked.Err(); err != nil {
		t.Errorf("stream of a revoked key: got the error %v, want a clean end", err)
	}
	if n := l.feed.Stats().Streams; n != 1 {
		t.Errorf("got %d open streams, want 1, of the other key", n)
	}
	l.drain()
	for other.Scan() {
	}
	if err := other.Err(); err != nil {
		t.Errorf("stream of a draining node: got the error %v, want a clean end", err)
	}
}

func TestStream_InvalidCalls_AreRefused(t *testing.T) {
	t.Parallel()
	l := newStreamNode(t, eventfeed.Options{PerBusiness: 1})
	for path, want := range map[string]struct {
		status int
		code   string
		says   string
	}{
		"/v1/events?lastEventId=nonsense":         {422, "validation_failed", "lastEventId"},
		"/v1/events?lastEventId=ffffffffffffffff": {422, "validation_failed", "lastEventId"},
		"/v1/events?since=1":                      {422, "validation_failed", "since"},
		"/v1/messages?access_token=x":             {422, "validation_failed", "access_token"},
	} {
		got := l.get(t, path)
		if wantProblem(t, got, want.status, want.code); !strings.Contains(string(got.body), want.says) {
			t.Errorf("%s: %s does not name %s", path, got.body, want.says)
		}
	}
	got := l.do(t, request{method: "GET", path: "/v1/events", token: l.key, header: map[string]string{"Last-Event-ID": "x y"}})
	if wantProblem(t, got, 422, "validation_failed"); !strings.Contains(string(got.body), "Last-Event-ID") {
		t.Errorf("%s does not name the header", got.body)
	}
	wantProblem(t, l.do(t, request{method: "GET", path: "/v1/events?access_token=x"}), 401, "unauthenticated")
	if got := l.do(t, request{method: "HEAD", path: "/v1/events", token: l.key}); got.status != http.StatusOK || len(got.body) > 0 {
		t.Errorf("HEAD: got %d %s, want %d", got.status, got.body, http.StatusOK)
	}
	_, _ = l.stream(t, "/v1/events", l.auth())
	if got := l.get(t, "/v1/events"); got.header.Get("Retry-After") == "" {
		t.Errorf("one stream too many: %d %v", got.status, got.header)
	} else {
		wantProblem(t, got, 429, "rate_limited")
	}
}
