package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/embedded"
)

// makeDeadLetter turns a message into a dead letter.
func (n *node) makeDeadLetter(t *testing.T, id string, at esh3ar.Time, reason string) {
	t.Helper()
	results, err := n.store.Settle(t.Context(), []esh3ar.Change{
		{Message: mustID(t, id), Recipient: n.recipient(t, id), To: esh3ar.Sent, Attempt: 5, At: at},
		{Message: mustID(t, id), Recipient: n.recipient(t, id), To: esh3ar.Failed, At: at, Reason: reason},
	})
	if err != nil || !results[1].Applied {
		t.Fatalf("fail %s: %+v, %v", id, results, err)
	}
}

func (n *node) recipient(t *testing.T, id string) esh3ar.Recipient {
	t.Helper()
	record, err := n.store.Message(t.Context(), mustID(t, id))
	if err != nil {
		t.Fatal(err)
	}
	return record.Recipient
}

// makeDeadLetters creates dead letters that failed in the past, in this order, one second apart.
func (n *node) makeDeadLetters(t *testing.T, count int) (ids []string) {
	t.Helper()
	start := esh3ar.TimeOf(time.Now().Add(-time.Hour))
	for i := range count {
		id := n.send(t, fmt.Sprintf(`{"recipientPhoneNumber":"+96777123456%d","messageContent":"m","correlationId":"c%d"}`, i%2, i)).ID
		n.makeDeadLetter(t, id, start.Add(time.Duration(i)*time.Second), esh3ar.ReasonAttemptsSpent)
		ids = append(ids, id)
	}
	return ids
}

func (n *node) listDeadLetters(t *testing.T, query string) (ids []string, next string) {
	t.Helper()
	got := n.get(t, "/v1/dead-letters"+query)
	if got.status != http.StatusOK {
		t.Fatalf("got %d %s, want %d", got.status, got.body, http.StatusOK)
	}
	p := decode[page](t, got.body)
	for _, m := range p.Items {
		ids = append(ids, m.ID)
	}
	return ids, p.NextCursor
}

func TestDeadLetters_List_LatestFirst(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.send(t, hello)
	ids := n.makeDeadLetters(t, 5)
	slices.Reverse(ids)
	var seen []string
	for cursor := ""; ; {
		some, next := n.listDeadLetters(t, "?limit=2&cursor="+url.QueryEscape(cursor))
		seen = append(seen, some...)
		cursor = next
		if cursor == "" {
			break
		}
	}
	if !slices.Equal(seen, ids) {
		t.Errorf("pages %v, want %v", seen, ids)
	}
	other := n.send(t, hello).ID
	n.makeDeadLetter(t, other, esh3ar.TimeOf(time.Now()), "other")
	third := n.read(t, ids[2])
	for query, want := range map[string]int{
		"": 6, "?limit=500": 6, "?recipientPhoneNumber=%2B967771234561": 2, "?correlationId=c3": 1, "?reason=other": 1, "?reason=attempts_spent": 5,
		"?until=1970-01-01T00:00:00Z": 0, "?from=1970-01-01T00:00:00Z": 6, "?from=" + third.EndedAt.String(): 4, "?until=" + third.EndedAt.String(): 2,
	} {
		if got, _ := n.listDeadLetters(t, query); len(got) != want {
			t.Errorf("%s: %d dead letters, want %d", query, len(got), want)
		}
	}
}

func TestDeadLetter_Get_ShowsReasonHistoryAndPayload(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	id := n.send(t, helloWith(`"subject":"s","ttlSeconds":60,"metadata":{"k":"v"}`)).ID
	wantProblem(t, n.get(t, "/v1/dead-letters/"+id), 404, "not_found") // not yet
	n.makeDeadLetter(t, id, esh3ar.TimeOf(time.Now()), esh3ar.ReasonAttemptsSpent)
	got := n.get(t, "/v1/dead-letters/"+id)
	letter := decode[struct {
		message
		Events []struct {
			Version int
			Status  string
		}
	}](t, got.body)
	if got.status != http.StatusOK || letter.Status != "failed" || letter.FailureReason != esh3ar.ReasonAttemptsSpent || letter.Attempts != 5 ||
		letter.MessageContent != "hello" || letter.Subject != "s" || letter.Metadata["k"] != "v" || letter.EndedAt.IsZero() {
		t.Errorf("%d %s", got.status, got.body)
	}
	if len(letter.Events) != 3 || letter.Events[0].Status != "queued" || letter.Events[2].Status != "failed" || letter.Events[2].Version != 3 {
		t.Errorf("history %+v", letter.Events)
	}
}

// entered is one call of OnRequeued.
type entered struct {
	recipient esh3ar.Recipient
	seq       esh3ar.Seq
	id        string
	life      esh3ar.Life
}

// withRequeueHook returns a copy of the node that records the calls of OnRequeued.
func (n *node) withRequeueHook() (*node, *[]entered) {
	notified := &[]entered{}
	return n.with(func(c *httpapiConfig) {
		c.OnRequeued = func(r esh3ar.Recipient, seq esh3ar.Seq, id esh3ar.MessageID, life esh3ar.Life) {
			*notified = append(*notified, entered{r, seq, id.String(), life})
		}
	}), notified
}

func TestReplay_DeadLetter_StartsNextLife(t *testing.T) {
	t.Parallel()
	n, notified := newNode(t).withRequeueHook()
	id := n.send(t, helloWith(`"ttlSeconds":60`)).ID
	n.send(t, hello)
	n.makeDeadLetter(t, id, esh3ar.TimeOf(time.Now()), esh3ar.ReasonAttemptsSpent)
	before := esh3ar.TimeOf(time.Now())
	got := n.post(t, "/v1/dead-letters/"+id+"/replay", "")
	after := esh3ar.TimeOf(time.Now())
	m := decode[message](t, got.body)
	if got.status != http.StatusAccepted || m.Status != "queued" || m.Life != 2 || m.Seq != 3 || m.Attempts != 0 || m.FailureReason != "" ||
		!m.EndedAt.IsZero() || m.MessageContent != "hello" || m.ExpiresAt < before.Add(time.Minute) || m.ExpiresAt > after.Add(time.Minute) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if read := n.get(t, "/v1/messages/"+id); string(read.body) != string(got.body) {
		t.Errorf("got the answer %s\nwant the stored message %s", got.body, read.body)
	}
	if want := []entered{{967771234567, 3, id, 2}}; !slices.Equal(*notified, want) {
		t.Errorf("got the notifications %v, want %v", *notified, want)
	}
	wantProblem(t, n.post(t, "/v1/dead-letters/"+id+"/replay", "{}"), 404, "not_found")
	wantProblem(t, n.get(t, "/v1/dead-letters/"+id), 404, "not_found")
	if len(*notified) != 1 {
		t.Errorf("got the notifications %v, want none for a refused replay", *notified)
	}
}

func TestDiscard_DeadLetter_IsFinal(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	id := n.makeDeadLetters(t, 1)[0]
	path := "/v1/dead-letters/" + id
	if got := n.do(t, request{method: "DELETE", path: path, token: n.key}); got.status != http.StatusNoContent || len(got.body) != 0 {
		t.Fatalf("got %d %s, want %d", got.status, got.body, http.StatusNoContent)
	}
	wantProblem(t, n.do(t, request{method: "DELETE", path: path, token: n.key}), 404, "not_found")
	wantProblem(t, n.get(t, path), 404, "not_found")
	wantProblem(t, n.post(t, path+"/replay", ""), 404, "not_found")
	if left, _ := n.listDeadLetters(t, ""); len(left) != 0 {
		t.Errorf("got the dead letters %v, want none", left)
	}
	if m := n.read(t, id); m.Status != "failed" {
		t.Errorf("got the status %s, want failed", m.Status)
	}
}

func TestDeadLetters_OfAnotherBusiness_AreNotFound(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	id := n.makeDeadLetters(t, 1)[0]
	other := *n
	_, other.key = n.newBusiness(t, "Other")
	for _, path := range []string{"/v1/dead-letters/" + id, "/v1/dead-letters/" + esh3ar.NewMessageID().String(), "/v1/dead-letters/nonsense"} {
		wantProblem(t, other.get(t, path), 404, "not_found")
		wantProblem(t, other.post(t, path+"/replay", ""), 404, "not_found")
		wantProblem(t, other.do(t, request{method: "DELETE", path: path, token: other.key}), 404, "not_found")
	}
	if list, _ := other.listDeadLetters(t, ""); len(list) != 0 {
		t.Errorf("got the dead letters %v, want none", list)
	}
	if got := other.replayStep(t, "{}"); got.Replayed != 0 {
		t.Errorf("got %d replayed, want 0", got.Replayed)
	}
	if left, _ := n.listDeadLetters(t, ""); len(left) != 1 {
		t.Errorf("left %v", left)
	}
}

// step is the answer to one call of POST /v1/dead-letters/replay.
type step struct {
	Replayed int
	More     bool
	Until    esh3ar.Time
}

func (n *node) replayStep(t *testing.T, body string) step {
	t.Helper()
	got := n.post(t, "/v1/dead-letters/replay", body)
	if got.status != http.StatusOK {
		t.Fatalf("got %d %s, want %d", got.status, got.body, http.StatusOK)
	}
	return decode[step](t, got.body)
}

func TestReplay_Filters_SelectDeadLetters(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body     func(third esh3ar.Time) string
		replayed []int // indexes of the replayed dead letters
		more     bool
	}{
		"all":         {body: func(esh3ar.Time) string { return "" }, replayed: []int{0, 1, 2, 3, 4}},
		"recipient":   {body: func(esh3ar.Time) string { return `{"recipientPhoneNumber":"771234561"}` }, replayed: []int{1, 3}},
		"correlation": {body: func(esh3ar.Time) string { return `{"correlationId":"c2"}` }, replayed: []int{2}},
		"reason":      {body: func(esh3ar.Time) string { return `{"reason":"other"}` }},
		"from":        {body: func(third esh3ar.Time) string { return `{"from":"` + third.String() + `"}` }, replayed: []int{2, 3, 4}},
		"until":       {body: func(third esh3ar.Time) string { return `{"until":"` + third.String() + `"}` }, replayed: []int{0, 1}},
		"until 1970":  {body: func(esh3ar.Time) string { return `{"until":"1970-01-01T00:00:00Z"}` }},
		"limit":       {body: func(esh3ar.Time) string { return `{"limit":3}` }, replayed: []int{2, 3, 4}, more: true},
		"exactly":     {body: func(esh3ar.Time) string { return `{"limit":5}` }, replayed: []int{0, 1, 2, 3, 4}},
		"one of two":  {body: func(esh3ar.Time) string { return `{"limit":1,"recipientPhoneNumber":"771234561"}` }, replayed: []int{3}, more: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, notified := newNode(t).withRequeueHook()
			ids := n.makeDeadLetters(t, 5)
			got := n.replayStep(t, c.body(n.read(t, ids[2]).EndedAt))
			if got.Replayed != len(c.replayed) || got.More != c.more || len(*notified) != got.Replayed {
				t.Errorf("%+v, notified %d, want %d, more %v", got, len(*notified), len(c.replayed), c.more)
			}
			for i, id := range ids {
				if m := n.read(t, id); (m.Life == 2) != slices.Contains(c.replayed, i) {
					t.Errorf("letter %d is %s in life %d", i, m.Status, m.Life)
				}
			}
		})
	}
}

// TestReplay_MessagesFailAgain_AreNotReplayedTwice lets messages fail again between the calls.
func TestReplay_MessagesFailAgain_AreNotReplayedTwice(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	ids := n.makeDeadLetters(t, 5)
	first := n.replayStep(t, `{"limit":2}`)
	for _, id := range ids[3:] {
		n.makeDeadLetter(t, id, max(first.Until, esh3ar.TimeOf(time.Now())), esh3ar.ReasonAttemptsSpent)
	}
	total := first.Replayed
	for s := first; s.More; {
		if s = n.replayStep(t, `{"limit":2,"until":"`+first.Until.String()+`"}`); s.Replayed == 0 || s.Until != first.Until {
			t.Fatalf("got %+v, want some replayed and until %s", s, first.Until)
		}
		total += s.Replayed
	}
	if left, _ := n.listDeadLetters(t, ""); total != 5 || len(left) != 2 {
		t.Errorf("got %d replayed and %d left, want 5 and 2", total, len(left))
	}
	// A bound in the future must not include them either.
	ahead := esh3ar.TimeOf(time.Now().Add(time.Hour))
	n.replayStep(t, `{}`)
	n.makeDeadLetter(t, ids[0], ahead.Add(-time.Minute), esh3ar.ReasonAttemptsSpent)
	if s := n.replayStep(t, `{"until":"`+ahead.String()+`"}`); s.Replayed != 0 || s.Until >= ahead {
		t.Errorf("with a bound in the future: got %+v, want none replayed", s)
	}
}

// deadLetterStore is a store with some methods replaced.
type deadLetterStore struct {
	*embedded.Store
	settle func(changes []esh3ar.Change) ([]esh3ar.Settled, error)
	letter func(q esh3ar.DeadLetterQuery) (esh3ar.ListPage, error)
}

func (s deadLetterStore) Settle(ctx context.Context, changes []esh3ar.Change) ([]esh3ar.Settled, error) {
	if s.settle != nil {
		return s.settle(changes)
	}
	return s.Store.Settle(ctx, changes)
}

func (s deadLetterStore) DeadLetters(ctx context.Context, q esh3ar.DeadLetterQuery) (esh3ar.ListPage, error) {
	if s.letter != nil {
		return s.letter(q)
	}
	return s.Store.DeadLetters(ctx, q)
}

func TestReplay_StoreFails_NotifiesNoSession(t *testing.T) {
	t.Parallel()
	n, notified := newNode(t).withRequeueHook()
	id := n.makeDeadLetters(t, 1)[0]
	for code, status := range map[esh3ar.Code]int{esh3ar.OutcomeUnknown: 502, esh3ar.StoreUnavailable: 503, esh3ar.Internal: 500} {
		broken := n.with(func(c *httpapiConfig) {
			c.Store = deadLetterStore{Store: n.store, settle: func([]esh3ar.Change) ([]esh3ar.Settled, error) {
				return nil, esh3ar.Errorf(code, "no")
			}}
		})
		wantProblem(t, broken.post(t, "/v1/dead-letters/"+id+"/replay", ""), status, code.String())
		wantProblem(t, broken.post(t, "/v1/dead-letters/replay", ""), status, code.String())
	}
	if len(*notified) != 0 {
		t.Errorf("got the notifications %v, want none", *notified)
	}
}

// TestReplay_ConcurrentReplay_IsNotFound replays the message between the read and the change; it fails again before the
// change.
func TestReplay_ConcurrentReplay_IsNotFound(t *testing.T) {
	t.Parallel()
	n, notified := newNode(t).withRequeueHook()
	id := n.makeDeadLetters(t, 1)[0]
	overtaken := n.with(func(c *httpapiConfig) {
		c.Store = deadLetterStore{Store: n.store, settle: func(changes []esh3ar.Change) ([]esh3ar.Settled, error) {
			n.post(t, "/v1/dead-letters/"+id+"/replay", "")
			n.makeDeadLetter(t, id, 1, esh3ar.ReasonAttemptsSpent)
			return n.store.Settle(t.Context(), changes)
		}}
	})
	wantProblem(t, overtaken.post(t, "/v1/dead-letters/"+id+"/replay", ""), 404, "not_found")
	if got := overtaken.replayStep(t, ""); got.Replayed != 0 {
		t.Errorf("got %+v, want none replayed", got)
	}
	if m := n.read(t, id); m.Life != 3 || len(*notified) != 2 {
		t.Errorf("got life %d and the notifications %v, want life 3 and two", m.Life, *notified)
	}
}

// TestReplay_EmptyPages_ReadsOn returns empty pages, as a store does that bounds the rows of one page.
func TestReplay_EmptyPages_ReadsOn(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	ids := n.makeDeadLetters(t, 3)
	slices.Reverse(ids)
	var limits []int
	slow := n.with(func(c *httpapiConfig) {
		c.Store = deadLetterStore{Store: n.store, letter: func(q esh3ar.DeadLetterQuery) (esh3ar.ListPage, error) {
			limits = append(limits, q.Limit)
			at := len(limits)
			next := fmt.Sprint(at)
			if at == 6 {
				next = ""
			}
			if at > 1 && q.Cursor != fmt.Sprint(at-1) {
				t.Errorf("cursor %q on page %d", q.Cursor, at)
			}
			if at%2 == 1 {
				return esh3ar.ListPage{NextCursor: next}, nil
			}
			record, err := n.store.DeadLetter(t.Context(), q.Business, mustID(t, ids[at/2-1]))
			return esh3ar.ListPage{Records: []esh3ar.Record{record}, NextCursor: next}, err
		}}
	})
	if got := slow.replayStep(t, `{"limit":2}`); got.Replayed != 2 || !got.More || !slices.Equal(limits, []int{3, 3, 2, 2, 1, 1}) {
		t.Errorf("got %+v with the limits %v, want 2 replayed with 3 3 2 2 1 1", got, limits)
	}
	if left, _ := n.listDeadLetters(t, ""); len(left) != 1 || left[0] != ids[2] {
		t.Errorf("left %v", left)
	}
}

func TestDeadLetters_InvalidCalls_AreRefused(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	long := strings.Repeat("é", 129)
	for query, named := range map[string][]string{
		"limit=0": {"limit"}, "limit=501": {"limit"}, "limit=x": {"limit"}, "limit=": {"limit"}, "limit=1.5": {"limit"},
		"from=now": {"from"}, "until=": {"until"}, "from=1&until=2": {"from", "until"}, "from=a&from=b": {"from", "from"},
		"recipientPhoneNumber=7": {"recipientPhoneNumber"}, "recipientPhoneNumber=": {"recipientPhoneNumber"},
		"correlationId=": {"correlationId"}, "correlationId=" + url.QueryEscape(long): {"correlationId"},
		"reason=": {"reason"}, "reason=" + url.QueryEscape(long[:130]): {"reason"}, "status=failed": {"status"}, "x=": {"x"},
		"cursor=nonsense": {"cursor"}, "reason=%00": {"reason"}, "correlationId=%ff": {"correlationId"}, "reason=%zz": {"reason"},
	} {
		got := n.get(t, "/v1/dead-letters?"+query)
		code := "validation_failed"
		if strings.Contains(query, "%00") || strings.Contains(query, "%ff") {
			code = "invalid_character"
		}
		p := wantProblem(t, got, 422, code)
		var seen []string
		for _, e := range p.Errors {
			seen = append(seen, e.Parameter)
		}
		if !slices.Equal(seen, named) {
			t.Errorf("%s: named %q, want %q", query, seen, named)
		}
	}
	const path = "/v1/dead-letters/replay"
	for body, named := range map[string][]string{
		`[]`: {""}, `{"x":1}`: {"/x"}, `{"limit":0}`: {"/limit"}, `{"limit":501}`: {"/limit"}, `{"limit":"1"}`: {"/limit"}, `{"limit":null}`: {"/limit"},
		`{"from":"now","until":5}`: {"/from", "/until"}, `{"until":null}`: {"/until"}, `{"recipientPhoneNumber":"7"}`: {"/recipientPhoneNumber"},
		`{"recipientPhoneNumber":""}`: {"/recipientPhoneNumber"}, `{"recipientPhoneNumber":[]}`: {"/recipientPhoneNumber"},
		`{"correlationId":""}`: {"/correlationId"}, `{"correlationId":"` + long + `"}`: {"/correlationId"},
		`{"reason":""}`: {"/reason"}, `{"reason":"` + long[:130] + `"}`: {"/reason"}, `{"reason":7}`: {"/reason"}, `{"cursor":"x"}`: {"/cursor"},
	} {
		wantProblem(t, n.post(t, path, body), 422, "validation_failed", named...)
	}
	wantProblem(t, n.post(t, path, `{"reason":"\u0000","correlationId":"\ud800"}`), 422, "invalid_character", "/reason", "/correlationId")
	wantProblem(t, n.post(t, path, `{"limit":1,"limit":1}`), 400, "invalid_json")
	wantProblem(t, n.do(t, request{"POST", path, n.key, `{}`, map[string]string{"Content-Type": "text/plain"}}), 415, "unsupported_media_type")
	one := "/v1/dead-letters/" + n.makeDeadLetters(t, 1)[0] + "/replay"
	wantProblem(t, n.post(t, one, `{"x":1}`), 422, "validation_failed", "/x")
	wantProblem(t, n.post(t, one, `{`), 400, "invalid_json")
	if left, _ := n.listDeadLetters(t, ""); len(left) != 1 {
		t.Errorf("got the dead letters %v, want one: no invalid call may replay it", left)
	}
	for _, a := range []request{{method: "GET", path: "/v1/dead-letters"}, {method: "POST", path: path}, {method: "POST", path: one}, {method: "DELETE", path: "/v1/dead-letters/x"}} {
		wantProblem(t, n.do(t, a), 401, "unauthenticated")
		a.token = n.admin
		wantProblem(t, n.do(t, a), 403, "forbidden")
	}
}
