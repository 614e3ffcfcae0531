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

// fail makes a message a dead letter.
func (n *node) fail(t *testing.T, id string, at esh3ar.Time, reason string) {
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

// letters makes dead letters, the first one failed first, a second apart and all in the past.
func (n *node) letters(t *testing.T, count int) (ids []string) {
	t.Helper()
	start := esh3ar.TimeOf(time.Now().Add(-time.Hour))
	for i := range count {
		id := n.send(t, fmt.Sprintf(`{"recipientPhoneNumber":"+96777123456%d","messageContent":"m","correlationId":"c%d"}`, i%2, i)).ID
		n.fail(t, id, start.Add(time.Duration(i)*time.Second), esh3ar.ReasonAttemptsSpent)
		ids = append(ids, id)
	}
	return ids
}

func (n *node) dead(t *testing.T, query string) (ids []string, next string) {
	t.Helper()
	got := n.get(t, "/v1/dead-letters"+query)
	if got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	p := decode[page](t, got.body)
	for _, m := range p.Items {
		ids = append(ids, m.ID)
	}
	return ids, p.NextCursor
}

func TestDeadLettersAreListedLatestFirst(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.send(t, hello)
	ids := n.letters(t, 5)
	slices.Reverse(ids)
	var seen []string
	for cursor := ""; ; {
		some, next := n.dead(t, "?limit=2&cursor="+url.QueryEscape(cursor))
		seen = append(seen, some...)
		if cursor = next; cursor == "" {
			break
		}
	}
	if !slices.Equal(seen, ids) {
		t.Errorf("pages %v, want %v", seen, ids)
	}
	other := n.send(t, hello).ID
	n.fail(t, other, esh3ar.TimeOf(time.Now()), "other")
	third := n.read(t, ids[2])
	for query, want := range map[string]int{
		"": 6, "?limit=500": 6, "?recipientPhoneNumber=%2B967771234561": 2, "?correlationId=c3": 1, "?reason=other": 1, "?reason=attempts_spent": 5,
		"?until=1970-01-01T00:00:00Z": 0, "?from=1970-01-01T00:00:00Z": 6, "?from=" + third.EndedAt.String(): 4, "?until=" + third.EndedAt.String(): 2,
	} {
		if got, _ := n.dead(t, query); len(got) != want {
			t.Errorf("%s: %d dead letters, want %d", query, len(got), want)
		}
	}
}

func TestADeadLetterShowsReasonHistoryAndPayload(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	id := n.send(t, helloWith(`"subject":"s","ttlSeconds":60,"metadata":{"k":"v"}`)).ID
	wantProblem(t, n.get(t, "/v1/dead-letters/"+id), 404, "not_found") // not yet
	n.fail(t, id, esh3ar.TimeOf(time.Now()), esh3ar.ReasonAttemptsSpent)
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

// entered is what the connections are told of a replay.
type entered struct {
	recipient esh3ar.Recipient
	seq       esh3ar.Seq
	id        string
	life      esh3ar.Life
}

// hearing is the node with an ear for replays.
func (n *node) hearing() (*node, *[]entered) {
	heard := &[]entered{}
	return n.with(func(c *configured) {
		c.Entered = func(r esh3ar.Recipient, seq esh3ar.Seq, id esh3ar.MessageID, life esh3ar.Life) {
			*heard = append(*heard, entered{r, seq, id.String(), life})
		}
	}), heard
}

func TestAReplayBeginsTheNextLife(t *testing.T) {
	t.Parallel()
	n, heard := newNode(t).hearing()
	id := n.send(t, helloWith(`"ttlSeconds":60`)).ID
	n.send(t, hello)
	n.fail(t, id, esh3ar.TimeOf(time.Now()), esh3ar.ReasonAttemptsSpent)
	before := esh3ar.TimeOf(time.Now())
	got := n.post(t, "/v1/dead-letters/"+id+"/replay", "")
	after := esh3ar.TimeOf(time.Now())
	m := decode[message](t, got.body)
	if got.status != http.StatusAccepted || m.Status != "queued" || m.Life != 2 || m.Seq != 3 || m.Attempts != 0 || m.FailureReason != "" ||
		!m.EndedAt.IsZero() || m.MessageContent != "hello" || m.ExpiresAt < before.Add(time.Minute) || m.ExpiresAt > after.Add(time.Minute) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if read := n.get(t, "/v1/messages/"+id); string(read.body) != string(got.body) {
		t.Errorf("answered %s\nbut it is %s", got.body, read.body)
	}
	if want := []entered{{967771234567, 3, id, 2}}; !slices.Equal(*heard, want) {
		t.Errorf("heard %v, want %v", *heard, want)
	}
	wantProblem(t, n.post(t, "/v1/dead-letters/"+id+"/replay", "{}"), 404, "not_found")
	wantProblem(t, n.get(t, "/v1/dead-letters/"+id), 404, "not_found")
	if len(*heard) != 1 {
		t.Errorf("a replay that was none was heard: %v", *heard)
	}
}

func TestDiscardEndsADeadLetterForGood(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	id := n.letters(t, 1)[0]
	path := "/v1/dead-letters/" + id
	if got := n.do(t, ask{method: "DELETE", path: path, token: n.key}); got.status != http.StatusNoContent || len(got.body) != 0 {
		t.Fatalf("%d %s", got.status, got.body)
	}
	wantProblem(t, n.do(t, ask{method: "DELETE", path: path, token: n.key}), 404, "not_found")
	wantProblem(t, n.get(t, path), 404, "not_found")
	wantProblem(t, n.post(t, path+"/replay", ""), 404, "not_found")
	if left, _ := n.dead(t, ""); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	if m := n.read(t, id); m.Status != "failed" {
		t.Errorf("the message is %s", m.Status)
	}
}

func TestAnotherBusinessHasOtherDeadLetters(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	id := n.letters(t, 1)[0]
	other := *n
	_, other.key = n.newBusiness(t, "Other")
	for _, path := range []string{"/v1/dead-letters/" + id, "/v1/dead-letters/" + esh3ar.NewMessageID().String(), "/v1/dead-letters/nonsense"} {
		wantProblem(t, other.get(t, path), 404, "not_found")
		wantProblem(t, other.post(t, path+"/replay", ""), 404, "not_found")
		wantProblem(t, other.do(t, ask{method: "DELETE", path: path, token: other.key}), 404, "not_found")
	}
	if list, _ := other.dead(t, ""); len(list) != 0 {
		t.Errorf("it lists %v", list)
	}
	if got := other.step(t, "{}"); got.Replayed != 0 {
		t.Errorf("it replayed %d", got.Replayed)
	}
	if left, _ := n.dead(t, ""); len(left) != 1 {
		t.Errorf("left %v", left)
	}
}

// step is the answer to one bounded replay.
type step struct {
	Replayed int
	More     bool
	Until    esh3ar.Time
}

func (n *node) step(t *testing.T, body string) step {
	t.Helper()
	got := n.post(t, "/v1/dead-letters/replay", body)
	if got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	return decode[step](t, got.body)
}

func TestReplayByFilter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body     func(third esh3ar.Time) string
		replayed []int // indexes
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
			n, heard := newNode(t).hearing()
			ids := n.letters(t, 5)
			got := n.step(t, c.body(n.read(t, ids[2]).EndedAt))
			if got.Replayed != len(c.replayed) || got.More != c.more || len(*heard) != got.Replayed {
				t.Errorf("%+v, heard %d, want %d, more %v", got, len(*heard), len(c.replayed), c.more)
			}
			for i, id := range ids {
				if m := n.read(t, id); (m.Life == 2) != slices.Contains(c.replayed, i) {
					t.Errorf("letter %d is %s in life %d", i, m.Status, m.Life)
				}
			}
		})
	}
}

// TestAReplayGoesInNoCircle lets each letter fail again between the steps.
func TestAReplayGoesInNoCircle(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	ids := n.letters(t, 5)
	first := n.step(t, `{"limit":2}`)
	for _, id := range ids[3:] {
		n.fail(t, id, max(first.Until, esh3ar.TimeOf(time.Now())), esh3ar.ReasonAttemptsSpent)
	}
	total := first.Replayed
	for s := first; s.More; {
		if s = n.step(t, `{"limit":2,"until":"`+first.Until.String()+`"}`); s.Replayed == 0 || s.Until != first.Until {
			t.Fatalf("%+v", s)
		}
		total += s.Replayed
	}
	if left, _ := n.dead(t, ""); total != 5 || len(left) != 2 {
		t.Errorf("%d replayed, %d left", total, len(left))
	}
	// A later end than now must not let them in either.
	ahead := esh3ar.TimeOf(time.Now().Add(time.Hour))
	n.step(t, `{}`)
	n.fail(t, ids[0], ahead.Add(-time.Minute), esh3ar.ReasonAttemptsSpent)
	if s := n.step(t, `{"until":"`+ahead.String()+`"}`); s.Replayed != 0 || s.Until >= ahead {
		t.Errorf("a letter of the future: %+v", s)
	}
}

// lettersStore is the store with some of its answers changed.
type lettersStore struct {
	*embedded.Store
	settle func(changes []esh3ar.Change) ([]esh3ar.Settled, error)
	letter func(q esh3ar.DeadLetterQuery) (esh3ar.ListPage, error)
}

func (s lettersStore) Settle(ctx context.Context, changes []esh3ar.Change) ([]esh3ar.Settled, error) {
	if s.settle != nil {
		return s.settle(changes)
	}
	return s.Store.Settle(ctx, changes)
}

func (s lettersStore) DeadLetters(ctx context.Context, q esh3ar.DeadLetterQuery) (esh3ar.ListPage, error) {
	if s.letter != nil {
		return s.letter(q)
	}
	return s.Store.DeadLetters(ctx, q)
}

func TestAReplayThatFailsIsHeardByNobody(t *testing.T) {
	t.Parallel()
	n, heard := newNode(t).hearing()
	id := n.letters(t, 1)[0]
	for code, status := range map[esh3ar.Code]int{esh3ar.OutcomeUnknown: 502, esh3ar.StoreUnavailable: 503, esh3ar.Internal: 500} {
		broken := n.with(func(c *configured) {
			c.Store = lettersStore{Store: n.store, settle: func([]esh3ar.Change) ([]esh3ar.Settled, error) {
				return nil, esh3ar.Errorf(code, "no")
			}}
		})
		wantProblem(t, broken.post(t, "/v1/dead-letters/"+id+"/replay", ""), status, code.String())
		wantProblem(t, broken.post(t, "/v1/dead-letters/replay", ""), status, code.String())
	}
	if len(*heard) != 0 {
		t.Errorf("heard %v", *heard)
	}
}

// TestAReplayThatSomebodyElseDid: between the look and the change the letter was replayed, and has failed anew.
func TestAReplayThatSomebodyElseDid(t *testing.T) {
	t.Parallel()
	n, heard := newNode(t).hearing()
	id := n.letters(t, 1)[0]
	overtaken := n.with(func(c *configured) {
		c.Store = lettersStore{Store: n.store, settle: func(changes []esh3ar.Change) ([]esh3ar.Settled, error) {
			n.post(t, "/v1/dead-letters/"+id+"/replay", "")
			n.fail(t, id, 1, esh3ar.ReasonAttemptsSpent)
			return n.store.Settle(t.Context(), changes)
		}}
	})
	wantProblem(t, overtaken.post(t, "/v1/dead-letters/"+id+"/replay", ""), 404, "not_found")
	if got := overtaken.step(t, ""); got.Replayed != 0 {
		t.Errorf("%+v", got)
	}
	if m := n.read(t, id); m.Life != 3 || len(*heard) != 2 {
		t.Errorf("life %d, heard %v", m.Life, *heard)
	}
}

// TestEmptyPagesAreNotTheEnd: a store bounds what one page walks over.
func TestEmptyPagesAreNotTheEnd(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	ids := n.letters(t, 3)
	slices.Reverse(ids)
	var asked []int
	slow := n.with(func(c *configured) {
		c.Store = lettersStore{Store: n.store, letter: func(q esh3ar.DeadLetterQuery) (esh3ar.ListPage, error) {
			asked = append(asked, q.Limit)
			at := len(asked)
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
	if got := slow.step(t, `{"limit":2}`); got.Replayed != 2 || !got.More || !slices.Equal(asked, []int{3, 3, 2, 2, 1, 1}) {
		t.Errorf("%+v, asked %v", got, asked)
	}
	if left, _ := n.dead(t, ""); len(left) != 1 || left[0] != ids[2] {
		t.Errorf("left %v", left)
	}
}

func TestBadDeadLetterCalls(t *testing.T) {
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
	wantProblem(t, n.do(t, ask{"POST", path, n.key, `{}`, map[string]string{"Content-Type": "text/plain"}}), 415, "unsupported_media_type")
	one := "/v1/dead-letters/" + n.letters(t, 1)[0] + "/replay"
	wantProblem(t, n.post(t, one, `{"x":1}`), 422, "validation_failed", "/x")
	wantProblem(t, n.post(t, one, `{`), 400, "invalid_json")
	if left, _ := n.dead(t, ""); len(left) != 1 {
		t.Errorf("a bad call replayed it")
	}
	for _, a := range []ask{{method: "GET", path: "/v1/dead-letters"}, {method: "POST", path: path}, {method: "POST", path: one}, {method: "DELETE", path: "/v1/dead-letters/x"}} {
		wantProblem(t, n.do(t, a), 401, "unauthenticated")
		a.token = n.admin
		wantProblem(t, n.do(t, a), 403, "forbidden")
	}
}
