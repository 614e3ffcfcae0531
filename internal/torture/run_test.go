package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar/internal/signalrclient"
	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 5 && os.Args[1] == "serve" {
		runChildNode(os.Args[3], os.Args[5])
	}
	goleak.VerifyTestMain(m)
}

// fixture is a round against a scripted node.
type fixture struct {
	*round
	dir string
}

func newFixture(t *testing.T, node http.HandlerFunc) *fixture {
	t.Helper()
	server := httptest.NewServer(node)
	t.Cleanup(server.Close)
	clock := clock{time.Now()}
	dir := t.TempDir()
	r := &run{
		Options: Options{Phones: 12, Seed: 1}, out: io.Discard, clock: clock, whole: t.Context(), streams: server.Client(),
		ledger: &recorder{dir: dir, clock: clock},
		fleet: &fleet{
			nodes:   []*target{newTarget(1, nodeproc.Config{Listen: strings.TrimPrefix(server.URL, "http://")})},
			secrets: nodeproc.Secrets{APIKey: "key", AdminToken: "admin"},
		},
	}
	round, err := r.begin(1, checker.Carry{Before: 1, Consumers: []string{"sse"}})
	if err != nil {
		t.Fatal(err)
	}
	round.client = server.Client()
	round.ending, round.end = context.WithCancel(t.Context())
	return &fixture{round, dir}
}

func (s *fixture) sender() *sender {
	return &sender{round: s.round, random: rand.New(rand.NewPCG(1, 1)), client: s.client}
}

// entries closes the round and returns the entries of its file.
func (s *fixture) entries(t *testing.T) (list []checker.Entry) {
	t.Helper()
	if err := s.ledger.close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(s.dir, "ledger-0001.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		var e checker.Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

func kinds(list []checker.Entry) (words []string) {
	for _, e := range list {
		words = append(words, string(e.Kind))
	}
	return words
}

// body is the part of a call that the scripted node decodes.
type body struct {
	To          string `json:"recipientPhoneNumber"`
	Content     string `json:"messageContent"`
	Correlation string `json:"correlationId"`
	Priority    string `json:"priority"`
	SendAt      string `json:"sendAt"`
	TTL         int    `json:"ttlSeconds"`
}

func TestSender_CallWithKey_RetriesUntilAnswered(t *testing.T) {
	t.Parallel()
	var tries []string
	var seen body
	s := newFixture(t, func(w http.ResponseWriter, r *http.Request) {
		tries = append(tries, r.Header.Get("Idempotency-Key"))
		switch len(tries) {
		case 1: // on a new connection: on a reused one net/http retries a call with a key
			panic(http.ErrAbortHandler) // drops the connection, as a kill does
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3:
			w.WriteHeader(http.StatusBadGateway)
		default:
			if err := json.NewDecoder(r.Body).Decode(&seen); err != nil {
				t.Error(err)
			}
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, `{"id":"a","seq":7,"recipientPhoneNumber":"+967773000001"}`)
		}
	})
	at := s.clock.now() / int64(time.Millisecond) * int64(time.Millisecond)
	got := s.sender().sendUntilAnswered(s.newCall(keyed, false, message{to: recipientOf(1), lane: "high", sendAt: at, ttl: 2 * time.Second}))
	if !slices.Equal(got, []sent{{"a", true}}) {
		t.Errorf("accepted %+v", got)
	}
	for _, key := range tries {
		if key != "key-1" {
			t.Errorf("keys %q", tries)
		}
	}
	if want := (body{"+967773000001", "1", "1", "high", stamp(at), 2}); seen != want {
		t.Errorf("sent %+v, want %+v", seen, want)
	}
	list := s.entries(t)
	if want := []string{"called", "unknown", "refused", "unknown", "accepted"}; !slices.Equal(kinds(list), want) {
		t.Errorf("noted %v", kinds(list))
	}
	if last := list[len(list)-1]; last.ID != "a" || last.Seq != 7 || last.To != recipientOf(1) || last.Began == 0 || last.At < last.Began {
		t.Errorf("noted %+v", last)
	}
}

func TestSender_CallWithoutKey_IsNotRetried(t *testing.T) {
	t.Parallel()
	tries := 0
	s := newFixture(t, func(w http.ResponseWriter, _ *http.Request) {
		tries++
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	if got := s.sender().sendUntilAnswered(s.newCall(keyless, false, message{to: recipientOf(1), lane: "low"})); got != nil || tries != 1 {
		t.Errorf("got %v after %d tries, want none after 1", got, tries)
	}
}

// TestSender_PermanentRefusal_IsNotRetried checks that the refusal is recorded: the checker decides whether it was
// correct.
func TestSender_PermanentRefusal_IsNotRetried(t *testing.T) {
	t.Parallel()
	for answer, kind := range map[string]checker.Kind{`{"code":"idempotency_mismatch"}`: checker.Mismatched, `{"code":"validation_failed"}`: checker.Refused} {
		s := newFixture(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = io.WriteString(w, answer)
		})
		s.sender().sendUntilAnswered(s.newCall(keyed, true, message{to: recipientOf(1), lane: "low"}, message{to: recipientOf(2), lane: "low"}))
		list := s.entries(t)
		if want := []string{"called", "called", string(kind), string(kind)}; !slices.Equal(kinds(list), want) {
			t.Errorf("noted %v, want %v", kinds(list), want)
		}
		if list[2].Call != 1 || list[3].Call != 1 || list[3].Number != 2 || list[3].Key != "key-1" {
			t.Errorf("noted %+v", list[2:])
		}
	}
}

// TestSender_ConcurrentDuplicates_ShareKey checks that both calls are in flight at once: each waits until the other has
// begun.
func TestSender_ConcurrentDuplicates_ShareKey(t *testing.T) {
	t.Parallel()
	same, different := 0, 0
	s := newFixture(t, nil)
	var mu sync.Mutex
	var keys, bodies []string
	met := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		mu.Lock()
		keys, bodies = append(keys, r.Header.Get("Idempotency-Key")), append(bodies, r.URL.Path+string(text))
		gate := met
		if len(keys) == 2 {
			close(met)
			met = make(chan struct{})
		}
		mu.Unlock()
		<-gate
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, `{"code":"idempotency_mismatch"}`)
	}))
	t.Cleanup(server.Close)
	s.fleet.nodes[0].config.Listen = strings.TrimPrefix(server.URL, "http://")
	sender := s.sender()
	for range 20 {
		sender.sendConcurrentDuplicates()
		if len(keys) != 2 || keys[0] != keys[1] || keys[0] == "" {
			t.Fatalf("keys %q", keys)
		}
		if bodies[0] == bodies[1] {
			same++
		} else {
			different++
		}
		keys, bodies = nil, nil
	}
	if same == 0 || different == 0 {
		t.Errorf("equal bodies: got %d, different bodies: got %d, want some of both", same, different)
	}
}

func TestSender_Cancel_RecordsOutcome(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]checker.Kind{200: checker.Canceled, 409: checker.Uncancelable, 404: checker.Absent, 503: checker.Canceling} {
		s := newFixture(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodDelete || r.URL.Path != "/v1/messages/a" || r.Header.Get("Authorization") != "Bearer key" {
				t.Errorf("%s %s", r.Method, r.URL)
			}
			w.WriteHeader(status)
		})
		s.sender().cancel("a")
		if list := s.entries(t); list[len(list)-1].Kind != want || list[0].Kind != checker.Canceling || list[0].ID != "a" {
			t.Errorf("%d: noted %v", status, kinds(list))
		}
	}
}

func TestOperator_Replay_RecordsOutcome(t *testing.T) {
	t.Parallel()
	s := newFixture(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/dead-letters":
			_, _ = io.WriteString(w, `{"items":[{"id":"a","messageContent":"5","recipientPhoneNumber":"+967773000001"}]}`)
		case "/v1/dead-letters/a/replay":
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, `{"id":"a","seq":9,"life":2}`)
		case "/v1/dead-letters/replay":
			_, _ = io.WriteString(w, `{"replayed":3,"more":false}`)
		case "/admin/v1/breakers":
			if r.Header.Get("Authorization") != "Bearer admin" {
				t.Error("authorization: got another token, want the admin token")
			}
			_, _ = io.WriteString(w, `{"devicesOpen":2}`)
		}
	})
	o := &operator{s.round, rand.New(rand.NewPCG(1, 1)), s.client}
	letters := o.newestDeadLetters()
	if len(letters) != 1 || letters[0].number() != 5 {
		t.Fatalf("%+v", letters)
	}
	o.replay(&letters[0])
	o.replayMany(&letters[0])
	o.breakers()
	list := s.entries(t)
	if want := []string{"replaying", "replayed", "replaying", "replayedAll", "tripped"}; !slices.Equal(kinds(list), want) {
		t.Fatalf("noted %v", kinds(list))
	}
	if list[0].Number != 5 || list[1].Seq != 9 || list[1].Life != 2 || list[2].ID != "" || list[3].Count != 3 || list[4].Count != 2 {
		t.Errorf("noted %+v", list)
	}
}

// TestRound_Draw_IsDeterministic checks that equal seeds give equal messages and that all kinds of messages occur.
func TestRound_Draw_IsDeterministic(t *testing.T) {
	t.Parallel()
	s := newFixture(t, nil)
	one, two := s.stream(3), s.stream(3)
	var later, mortal, plain, both int
	for range 2000 {
		m, n := s.draw(one), s.draw(two)
		if m.to != n.to || m.lane != n.lane || m.ttl != n.ttl || (m.sendAt == 0) != (n.sendAt == 0) {
			t.Fatalf("%+v and %+v", m, n)
		}
		if m.ttl%time.Second != 0 || m.ttl > 5*time.Second || m.sendAt%int64(time.Millisecond) != 0 || m.sendAt > s.clock.now()+int64(5*time.Second) {
			t.Fatalf("%+v", m)
		}
		switch {
		case m.sendAt != 0 && m.ttl != 0:
			both++
		case m.sendAt != 0:
			later++
		case m.ttl != 0:
			mortal++
		default:
			plain++
		}
	}
	if later == 0 || mortal == 0 || both == 0 || plain < 1000 {
		t.Errorf("%d later, %d mortal, %d both, %d plain", later, mortal, both, plain)
	}
}

func TestProfile_AllProfilesAndBehaviours_Occur(t *testing.T) {
	t.Parallel()
	profiles, behaviours := map[profile]bool{}, map[behaviour]int{}
	random := rand.New(rand.NewPCG(1, 1))
	for i := range MinPhones {
		profiles[profileOf(i)] = true
		for range 100 {
			behaviours[profileOf(i).behaviour(random)]++
		}
	}
	if len(profiles) != 4 || len(behaviours) != int(crashing)+1 {
		t.Errorf("profiles %v, behaviours %v", profiles, behaviours)
	}
	if m := mute.behaviour; m == nil || behaviours[silent] < 80 || behaviours[crashing] < 80 {
		t.Errorf("behaviours %v", behaviours)
	}
}

// TestConsumer_EventStream_IsParsed covers comments, fields in any order, events of other kinds, and a reset.
func TestConsumer_EventStream_IsParsed(t *testing.T) {
	t.Parallel()
	const changed = `{"messageId":"a","version":2,"life":1,"status":"sent","occurredAt":"2026-11-23T20:13:20.076Z","attempt":1,"correlationId":"5"}`
	const text = ": hello\n\nid: p1\nevent: message.status\ndata: " + changed + "\n\nevent: other\nid: p2\ndata: x\n\n" +
		"event:message.status\ndata:" + changed + "\nid:p3\n\n: still here\n\nevent: reset\n\nevent: message.status\nid: p4\ndata: " + changed // cut off
	resumed := ""
	s := newFixture(t, func(w http.ResponseWriter, r *http.Request) {
		resumed = r.Header.Get("Last-Event-ID")
		_, _ = io.WriteString(w, text)
	})
	c := &consumer{run: s.run, name: "sse", at: s.fleet.nodes[0], position: "p0"}
	if err := c.listenSSE(t.Context(), 4, pace{}); err != nil || resumed != "p0" || c.resumeFrom() != "p3" {
		t.Errorf("%v; resumed from %q, and next from %q", err, resumed, c.resumeFrom())
	}
	list := s.entries(t)
	if want := []string{"watching", "seen", "seen", "reset"}; !slices.Equal(kinds(list), want) {
		t.Fatalf("noted %v", kinds(list))
	}
	want := checker.Entry{
		Kind: checker.Seen, At: time.Date(2026, 11, 23, 20, 13, 20, 76e6, time.UTC).UnixNano(), Number: 5, ID: "a", Conn: 4, Attempt: 1, Life: 1,
		Status: "sent", Version: 2, Consumer: "sse", Position: "p1",
	}
	got := list[1]
	got.Found, got.Events = nil, nil
	if gotText, wantText := asJSON(t, got), asJSON(t, want); gotText != wantText {
		t.Errorf("noted %s\nwant  %s", gotText, wantText)
	}
	fickle := &consumer{run: s.run, name: "sse", at: s.fleet.nodes[0]}
	if err := fickle.listenSSE(t.Context(), 5, pace{drop: 1}); err != errDropped || fickle.resumeFrom() != "p1" { //nolint:errorlint // it is this one
		t.Errorf("%v at %q", err, fickle.resumeFrom())
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestConsumer_PermanentRefusal_EndsRun checks that 503 and 429 are retried and 404 is not.
func TestConsumer_PermanentRefusal_EndsRun(t *testing.T) {
	t.Parallel()
	answers := []int{503, 429, 404}
	s := newFixture(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(answers[0])
		answers = answers[1:]
	})
	c := &consumer{run: s.run, name: "sse", random: s.stream(1)}
	c.listen = func(ctx context.Context, c *consumer, conn int) error { return c.listenSSE(ctx, conn, pace{}) }
	if err := c.watch(t.Context()); err == nil || !strings.Contains(err.Error(), "consumer sse: /v1/events: 404") || len(answers) != 0 {
		t.Errorf("%v", err)
	}
}

// TestConsumer_PositionRejected_IsRecordedAsReset checks that the consumer then starts from scratch. Without a position
// the same answer is a permanent refusal.
func TestConsumer_PositionRejected_IsRecordedAsReset(t *testing.T) {
	t.Parallel()
	s := newFixture(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnprocessableEntity) })
	var refusal *refusalError
	for name, listen := range map[string]func(c *consumer) error{
		"sse": func(c *consumer) error { return c.listenSSE(t.Context(), 4, pace{}) },
		"hub": func(c *consumer) error {
			return c.resumeError(4, &signalrclient.Event{Error: "HubException: invalid_argument: lastEventId is not one of this stream"})
		},
	} {
		c := &consumer{run: s.run, name: name, at: s.fleet.nodes[0], position: "p9"}
		if err := listen(c); !errors.Is(err, errPositionLost) || c.resumeFrom() != "" {
			t.Errorf("%s: %v, next from %q", name, err, c.resumeFrom())
		}
		if err := listen(c); !errors.As(err, &refusal) {
			t.Errorf("%s: without a position: %v", name, err)
		}
	}
	if got := kinds(s.entries(t)); !slices.Equal(got, []string{"reset", "reset"}) {
		t.Errorf("noted %v", got)
	}
}

// TestRound_AwaitQuiescence_NeedsTwoEmptyChecks also counts messages in spills.
func TestRound_AwaitQuiescence_NeedsTwoEmptyChecks(t *testing.T) {
	t.Parallel()
	asked, waiting := 0, 3
	s := newFixture(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/admin/v1/spill" {
			if r.Header.Get("Authorization") != "Bearer admin" {
				t.Error("authorization: got another token, want the admin token")
			}
			waiting--
			fmt.Fprintf(w, `{"messages":%d,"quarantined":1}`, max(waiting, 0))
			return
		}
		asked++
		q := r.URL.Query()
		if q.Get("status") != "scheduled,queued,pending,sent" || q.Get("limit") != "500" || q.Get("from") == "" {
			t.Errorf("asked %s", r.URL)
		}
		switch asked {
		case 1:
			_, _ = io.WriteString(w, `{"items":[],"nextCursor":"c"}`) // an empty page is not the end
		case 2:
			if q.Get("cursor") != "c" {
				t.Errorf("asked %s", r.URL)
			}
			_, _ = io.WriteString(w, `{"items":[{"id":"a"}]}`)
		default:
			_, _ = io.WriteString(w, `{"items":[]}`)
		}
	})
	if err := s.awaitQuiescence(t.Context()); err != nil || asked != 5 {
		t.Errorf("got %v after %d listings, want nil after 5", err, asked)
	}
}

// TestRound_CollectFinalStates_ChecksUnlistedMessages checks that a message found only by its id is a breach, and that a
// message not found at all is lost.
func TestRound_CollectFinalStates_ChecksUnlistedMessages(t *testing.T) {
	t.Parallel()
	s := newFixture(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/messages":
			_, _ = io.WriteString(w, `{"items":[]}`)
		case "/v1/messages/a":
			_, _ = io.WriteString(w, `{"id":"a","status":"delivered","seq":1,"recipientPhoneNumber":"+967773000001","messageContent":"1","priority":"low","life":1,"attempts":1}`)
		case "/v1/messages/a/events":
			_, _ = io.WriteString(w, `{"items":[{"version":1,"life":1,"status":"queued","occurredAt":"2026-11-23T20:13:20.076Z"}]}`)
		case "/v1/messages/b":
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"code":"not_found"}`)
		case "/v1/dead-letters":
			_, _ = io.WriteString(w, `{"items":[{"id":"a","messageContent":"1"}]}`)
		}
	})
	s.ledger.begin(checker.Carry{Before: 1}) // no consumers to wait for
	for i, id := range []string{"a", "b"} {
		s.newCall(keyless, false, message{to: recipientOf(1), lane: "low"})
		s.note(checker.Entry{Kind: checker.Accepted, Number: i + 1, Call: i + 1, To: recipientOf(1), ID: id, Seq: uint64(i + 1)})
	}
	if err := s.collectFinalStates(t.Context()); err != nil {
		t.Fatal(err)
	}
	v, _, err := s.ledger.judge()
	text := strings.Join(v.Broken, "\n")
	for _, want := range []string{"returns the message by its id but does not list it: message 1", "LOST: accepted, and the node does not know it: message 2", "listed as a dead letter is true: message 1"} {
		if err != nil || !strings.Contains(text, want) {
			t.Errorf("%v: want %q in\n%s", err, want, text)
		}
	}
}

func TestRound_Discard_ReportsRemainingDeadLetters(t *testing.T) {
	t.Parallel()
	for _, sticky := range []bool{false, true} {
		left := map[string]bool{"a": true, "b": true}
		s := newFixture(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodDelete {
				delete(left, filepath.Base(r.URL.Path))
				w.WriteHeader(http.StatusNoContent)
				return
			}
			items := []string{}
			for id := range left {
				items = append(items, `{"id":"`+id+`"}`)
			}
			if sticky {
				items = append(items, `{"id":"c"}`)
			}
			_, _ = io.WriteString(w, `{"items":[`+strings.Join(items, ",")+`]}`)
		})
		var v checker.Verdict
		if err := s.discard(t.Context(), &v); err != nil || v.Clean() == sticky || len(left) != 0 {
			t.Errorf("%v: %v, %v left", err, v.Broken, left)
		}
	}
}

func TestFaultScheduler_Over_AfterKillsOrTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		o     Options
		kills int
		ago   time.Duration
		over  bool
	}{
		{Options{Kills: 3}, 2, time.Hour, false},
		{Options{Kills: 3}, 3, 0, true},
		{Options{Time: time.Hour}, 1000, time.Minute, false},
		{Options{Time: time.Hour}, 0, time.Hour, true},
	} {
		f := &faultScheduler{options: &c.o, kills: c.kills, began: time.Now().Add(-c.ago)}
		if f.over() != c.over {
			t.Errorf("%+v: over: got %t", c, f.over())
		}
	}
}

func TestSpotChecks_ManyRounds_AreBounded(t *testing.T) {
	t.Parallel()
	var k spotChecks
	random := rand.New(rand.NewPCG(1, 1))
	for round := range 100 {
		list := make([]checker.SpotCheck, spotChecksPerRound)
		for i := range list {
			list[i].ID = strconv.Itoa(round)
		}
		k.add(list, random)
	}
	late := 0
	for _, one := range k.list {
		if len(one.ID) == 2 && one.ID >= "20" {
			late++
		}
	}
	if len(k.list) != maxSpotChecks || late == 0 || late == maxSpotChecks {
		t.Errorf("got %d messages, %d of them from late rounds", len(k.list), late)
	}
}

// TestRecorder_CleanRound_DeletesFile also checks that keep and a breach preserve the file.
func TestRecorder_CleanRound_DeletesFile(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ keep, broken, stays bool }{{false, false, false}, {true, false, true}, {false, true, true}} {
		s := newFixture(t, nil)
		s.ledger.keep = c.keep
		if c.broken {
			s.note(checker.Entry{Kind: "x"})
		}
		v, _, err := s.ledger.judge()
		_, missing := os.Stat(filepath.Join(s.dir, "ledger-0001.jsonl"))
		if err != nil || v.Clean() == c.broken || (missing == nil) != c.stays {
			t.Errorf("%+v: %v, %v", c, err, missing)
		}
		s.note(checker.Entry{Kind: checker.Seen}) // a consumer between two rounds
	}
}
