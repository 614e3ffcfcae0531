package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
)

// fail makes a message a dead letter.
func (b *backend) fail(t *testing.T, id esh3ar.MessageID, at esh3ar.Time) {
	t.Helper()
	results, err := b.store.Settle(t.Context(), []esh3ar.Change{
		{Message: id, Recipient: 967771234567, To: esh3ar.Sent, Attempt: 5, At: at},
		{Message: id, Recipient: 967771234567, To: esh3ar.Failed, At: at, Reason: esh3ar.ReasonAttemptsSpent},
	})
	if err != nil || !results[1].Applied {
		t.Fatalf("%+v, %v", results, err)
	}
}

// letters makes dead letters, each a second after the one before, and gives them latest first.
func (b *backend) letters(t *testing.T, count int) (ids []string) {
	t.Helper()
	begin := esh3ar.TimeOf(time.Now().Add(-time.Hour))
	for i := range count {
		id := b.send(t, "--correlation-id", fmt.Sprintf("c%d", i))
		b.fail(t, id, begin.Add(time.Duration(i)*time.Second))
		ids = append(ids, id.String())
	}
	slices.Reverse(ids)
	return ids
}

func (b *backend) left(t *testing.T) (ids []string) {
	t.Helper()
	for line := range strings.Lines(b.ok(t, "dlq", "list", "--limit", "0", "--json")) {
		var l letter
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, l.ID)
	}
	return ids
}

func TestDLQList(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	if code, out, errs := b.run(t, "dlq", "list"); code != exitOK || out != "" || errs != "no dead letters\n" {
		t.Errorf("empty: %d %q %q", code, out, errs)
	}
	ids := b.letters(t, 3)
	code, out, errs := b.run(t, "dlq", "list")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != exitOK || errs != "" || len(lines) != 4 || !strings.HasPrefix(lines[0], "ID  ") {
		t.Fatalf("%d %q %q", code, out, errs)
	}
	column := strings.Index(lines[0], "REASON")
	for i, line := range lines[1:] {
		if !strings.HasPrefix(line, ids[i]+"  +967771234567  ") || strings.Index(line, "attempts_spent  c"+fmt.Sprint(2-i)) != column {
			t.Errorf("line %q under %q", line, lines[0])
		}
	}
	if got := b.left(t); !slices.Equal(got, ids) {
		t.Errorf("as JSON: %v, want %v", got, ids)
	}
	code, out, errs = b.run(t, "dlq", "list", "--limit", "2", "--json")
	if code != exitOK || strings.Count(out, "\n") != 2 || !strings.Contains(errs, "more than 2") {
		t.Errorf("two of three: %d %q %q", code, out, errs)
	}
	if code, out, errs = b.run(t, "dlq", "list", "--limit", "3", "--json"); strings.Count(out, "\n") != 3 || errs != "" {
		t.Errorf("three of three: %d %q %q", code, out, errs)
	}
	failed := b.record(t, mustParse(t, ids[1])).EndedAt.String()
	for want, args := range map[int][]string{
		0: {"--recipient", "+967771234568"}, 1: {"--correlation-id", "c1"}, 2: {"--from", failed}, 3: {"--reason", "attempts_spent"},
	} {
		if out := b.ok(t, append([]string{"dlq", "list", "--json"}, args...)...); strings.Count(out, "\n") != want {
			t.Errorf("%q: %q, want %d", args, out, want)
		}
	}
	if out := b.ok(t, "dlq", "list", "--json", "--until", failed); strings.Count(out, "\n") != 1 {
		t.Errorf("until: %q", out)
	}
}

func mustParse(t *testing.T, id string) esh3ar.MessageID {
	t.Helper()
	parsed, err := esh3ar.ParseMessageID(id)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestDLQShow(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	id := b.send(t, "--subject", "a \x1b[31mred\x1b[0m one", "--ttl", "1m", "--correlation-id", "c")
	b.refused(t, exitFail, "no dead letter "+id.String()+" (not_found)", "dlq", "show", id.String())
	b.fail(t, id, 1_700_000_000_000)
	out := b.ok(t, "dlq", "show", id.String())
	for _, word := range []string{
		id.String(), "failed at       2023-11-14T22:13:20.000Z", "attempts        5", "reason          attempts_spent", "time to live    60 s",
		"\n  hello\n", "VERSION  LIFE  STATUS", "1        1     queued", "3        1     failed  2023-11-14T22:13:20.000Z  5        attempts_spent",
	} {
		if !strings.Contains(out, word) {
			t.Errorf("no %q in\n%s", word, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Errorf("a message steers the terminal: %q", out)
	}
	var whole wholeLetter
	if err := json.Unmarshal([]byte(b.ok(t, "dlq", "show", id.String(), "--json")), &whole); err != nil || whole.Content != "hello" || len(whole.Events) != 3 {
		t.Errorf("%+v, %v", whole, err)
	}
}

func TestDLQReplayByID(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	ids := b.letters(t, 3)
	code, out, errs := b.run(t, "dlq", "replay", ids[0], esh3ar.NewMessageID().String(), ids[2])
	if code != exitFail || strings.Count(out, "queued  seq ") != 2 || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "no dead letter") {
		t.Errorf("%d %q %q", code, out, errs)
	}
	if left := b.left(t); len(left) != 1 || left[0] != ids[1] {
		t.Errorf("left %v", left)
	}
	if out := b.ok(t, "dlq", "replay", ids[1], "--rate", "1000"); !strings.HasPrefix(out, ids[1]+"  queued  seq 6  to ") {
		t.Errorf("stdout %q", out)
	}
}

func TestDLQReplayByFilter(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	ids := b.letters(t, 5)
	middle := b.record(t, mustParse(t, ids[2])).EndedAt.String()
	if out := b.ok(t, "dlq", "replay", "--all", "--from", middle, "--rate", "10000"); out != "replayed 3\n" {
		t.Errorf("stdout %q", out)
	}
	if left := b.left(t); !slices.Equal(left, ids[3:]) {
		t.Errorf("left %v, want %v", left, ids[3:])
	}
	if out := b.ok(t, "dlq", "replay", "--all"); out != "replayed 2\n" {
		t.Errorf("stdout %q", out)
	}
	if out := b.ok(t, "dlq", "replay", "--all"); out != "replayed 0\n" {
		t.Errorf("stdout %q", out)
	}
}

func TestDLQDelete(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	ids := b.letters(t, 40)
	code, out, errs := b.run(t, "dlq", "delete", ids[0], ids[0])
	if code != exitFail || out != ids[0]+"  deleted\n" || !strings.Contains(errs, "no dead letter "+ids[0]) {
		t.Errorf("%d %q %q", code, out, errs)
	}
	if out := b.ok(t, "dlq", "delete", "--all", "--yes", "--correlation-id", "c7"); out != "deleted 1\n" {
		t.Errorf("stdout %q", out)
	}
	if out := b.ok(t, "dlq", "delete", "--all", "--yes"); out != "deleted 38\n" {
		t.Errorf("stdout %q", out)
	}
	if left := b.left(t); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	if m := b.record(t, mustParse(t, ids[3])); m.Status != esh3ar.Failed {
		t.Errorf("the message is %s", m.Status)
	}
}

func TestDLQ_InvalidValue_NamesFlag(t *testing.T) {
	t.Parallel()
	b := newBackend(t)
	ids := b.letters(t, 1)
	for _, c := range []struct {
		word string
		args []string
	}{
		{"--limit", []string{"list", "--limit", "-1"}},
		{"--from: \"now\" is not a time", []string{"list", "--from", "now"}},
		{"--until: \"1\" is not a time", []string{"list", "--until", "1"}},
		{"--recipient: is not a possible phone number: it has too few digits\n", []string{"list", "--recipient", "7"}},
		{"--reason: must have 1 to 64", []string{"list", "--reason", strings.Repeat("x", 65)}},
		{"--correlation-id: must have 1 to 128", []string{"list", "--correlation-id", strings.Repeat("x", 129)}},
		{"<id>", []string{"show"}},
		{"\"x\" is not the id", []string{"show", "x"}},
		{"or --all", []string{"replay"}},
		{"--all is missing", []string{"replay", "--reason", "x"}},
		{"not both", []string{"replay", ids[0], "--all"}},
		{"not both", []string{"replay", ids[0], "--reason", "x"}},
		{"\"x\" is not the id", []string{"replay", ids[0], "x"}},
		{"--rate", []string{"replay", "--all", "--rate", "-1"}},
		{"--from", []string{"replay", "--all", "--from", "x"}},
		{"--recipient", []string{"replay", "--all", "--recipient", "7"}},
		{"or --all", []string{"delete"}},
		{"--yes is missing", []string{"delete", "--all"}},
		{"not both", []string{"delete", ids[0], "--all", "--yes"}},
	} {
		b.refused(t, exitUsage, c.word, append([]string{"dlq"}, c.args...)...)
	}
	if left := b.left(t); len(left) != 1 {
		t.Errorf("left %v", left)
	}
	if code, _, errs := runHere(t, "dlq"); code != exitUsage || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, "list") {
		t.Errorf("%d %q", code, errs)
	}
	if code, _, errs := runHere(t, "dlq", "list", "--data-dir", t.TempDir()); code != exitUsage || !strings.Contains(errs, "--api-key") {
		t.Errorf("%d %q", code, errs)
	}
}

func TestPacer(t *testing.T) {
	t.Parallel()
	begin := time.Unix(1000, 0)
	for _, c := range []struct {
		rate, step, done int
		since, wait      time.Duration
	}{
		{0, 500, 1_000_000, 0, 0},
		{1, 1, 1, 0, time.Second},
		{1, 1, 1, 300 * time.Millisecond, 700 * time.Millisecond},
		{1, 1, 1, time.Hour, 0},
		{200, 20, 20, 0, 100 * time.Millisecond},
		{200, 20, 400, time.Second, time.Second},
		{1_000_000, 500, 500, 0, 500 * time.Microsecond},
	} {
		p := pacer{c.rate, begin}
		if step, wait := p.step(), p.wait(c.done, begin.Add(c.since)); step != c.step || wait != c.wait {
			t.Errorf("%+v: step %d, wait %s", c, step, wait)
		}
	}
}

// script is a node whose answers are written down; it keeps what it was asked.
type script struct {
	answers []string // one per call: a status of three digits, then the body
	asked   []string // method, address and body
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.asked = append(s.asked, strings.TrimSpace(r.Method+" "+r.URL.String()+" "+string(body)))
	answer := "500"
	if len(s.asked) <= len(s.answers) {
		answer = s.answers[len(s.asked)-1]
	}
	status, _ := strconv.Atoi(answer[:3])
	w.WriteHeader(status)
	_, _ = io.WriteString(w, answer[3:])
}

func (s *script) run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	server := httptest.NewServer(s)
	defer server.Close()
	return runHere(t, append(args, "--url", server.URL, "--api-key", "k")...)
}

func TestDLQList_SeveralPages_ReadsAll(t *testing.T) {
	t.Parallel()
	s := &script{answers: []string{
		`200{"items":[{"id":"a"}],"nextCursor":"n+1"}`, `200{"items":[],"nextCursor":"2"}`, `200{"items":[{"id":"b"},{"id":"c"}]}`,
	}}
	code, out, errs := s.run(t, "dlq", "list", "--limit", "0", "--json", "--recipient", "+1&2")
	if code != exitOK || out != "{\"id\":\"a\"}\n{\"id\":\"b\"}\n{\"id\":\"c\"}\n" || errs != "" {
		t.Errorf("%d %q %q", code, out, errs)
	}
	const address = "/v1/dead-letters?limit=500&recipientPhoneNumber=%2B1%262"
	if want := []string{
		"GET " + address, "GET /v1/dead-letters?cursor=n%2B1&" + address[len("/v1/dead-letters?"):], "GET /v1/dead-letters?cursor=2&" + address[len("/v1/dead-letters?"):],
	}; !slices.Equal(s.asked, want) {
		t.Errorf("asked %q, want %q", s.asked, want)
	}
}

// TestDLQReplay_MoreSteps_Continues: all steps have the end of the failures that the first one had.
func TestDLQReplay_MoreSteps_Continues(t *testing.T) {
	t.Parallel()
	page := `200{"items":[{"id":"` + esh3ar.NewMessageID().String() + `"}]}`
	s := &script{answers: []string{page, `200{"replayed":500,"more":true,"until":"U"}`, `200{"replayed":3,"more":false,"until":"U"}`}}
	code, out, errs := s.run(t, "dlq", "replay", "--all", "--reason", "r")
	if code != exitOK || out != "replayed 503\n" || errs != "" {
		t.Errorf("%d %q %q", code, out, errs)
	}
	if want := []string{
		"GET /v1/dead-letters?limit=500&reason=r", `POST /v1/dead-letters/replay {"limit":500,"reason":"r"}`,
		`POST /v1/dead-letters/replay {"limit":500,"reason":"r","until":"U"}`,
	}; !slices.Equal(s.asked, want) {
		t.Errorf("asked %q, want %q", s.asked, want)
	}
	for word, answer := range map[string]string{
		"after 500 were replayed: full (overloaded)":         `503{"code":"overloaded","detail":"full"}`,
		"after 500 were replayed: 500 Internal Server Error": `500`,
		"cannot be replayed: look at them":                   `200{"replayed":0,"more":true,"until":"U"}`,
	} {
		s := &script{answers: []string{page, `200{"replayed":500,"more":true,"until":"U"}`, answer}}
		if code, out, errs := s.run(t, "dlq", "replay", "--all"); code != exitFail || out != "" || !strings.Contains(errs, word) {
			t.Errorf("%d %q %q, want %q", code, out, errs, word)
		}
	}
}

// TestDLQDelete_ServerErrors_IgnoresNotFoundOnly: the first failure ends the other deletions, and the error reports how many are done. A letter that
// another client has deleted is not a failure.
func TestDLQDelete_ServerErrors_IgnoresNotFoundOnly(t *testing.T) {
	t.Parallel()
	page := `200{"items":[{"id":"` + esh3ar.NewMessageID().String() + `"}]}`
	if code, out, errs := (&script{answers: []string{page, `404{"code":"not_found"}`}}).run(t, "dlq", "delete", "--all", "--yes"); code != exitOK || out != "deleted 0\n" || errs != "" {
		t.Errorf("%d %q %q", code, out, errs)
	}
	if code, _, errs := (&script{answers: []string{page, `503{"code":"store_unavailable","detail":"away"}`}}).run(t, "dlq", "delete", "--all", "--yes"); code != exitFail || !strings.Contains(errs, "away (store_unavailable)") {
		t.Errorf("%d %q", code, errs)
	}
}
