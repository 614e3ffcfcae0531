package e2e

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fastRetries let a message fail within a second or two.
var fastRetries = []string{"--ack-timeout", "300ms", "--retry-attempts", "2", "--retry-base", "100ms", "--retry-cap", "200ms"}

// dlq runs a subcommand of dlq against the platform.
func (p *platform) dlq(args ...string) string {
	p.t.Helper()
	code, stdout, stderr := esh3ar(p.t, append([]string{"dlq"}, append(args, "--url", p.node.URL, "--data-dir", p.dataDir)...)...)
	if code != 0 {
		p.t.Fatalf("dlq %v: %d\n%s%s", args, code, stdout, stderr)
	}
	return stdout
}

// TestDeadLetters checks that a phone which never acknowledges produces dead letters. They are listed, shown, replayed
// to a phone that acknowledges, and deleted.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	p := start(t, fastRetries...)
	const number = "+967771000007"
	deaf := newPhone(p, number, "a", "none")
	first, second := p.send(number, "poison", "normal"), p.send(number, "to be deleted", "high")
	eventually(t, func() bool {
		deaf.invoke("Sync", 0, 1) // a sign of life: without one no attempt is spent
		return p.get(first.ID).Status == "failed" && p.get(second.ID).Status == "failed"
	}, func() string { return "the messages did not fail" })
	deaf.await(4)
	if len(deaf.got) != 4 {
		t.Errorf("the phone got %d pushes, want each message twice", len(deaf.got))
	}
	deaf.do(map[string]any{"command": "stop"})

	if list := p.dlq("list"); strings.Count(list, "attempts_spent") != 2 || !strings.Contains(list, first.ID) {
		t.Errorf("list: %s", list)
	}
	if shown := p.dlq("show", first.ID); !strings.Contains(shown, "poison") || !strings.Contains(shown, "attempts_spent") {
		t.Errorf("show: %s", shown)
	}
	p.dlq("delete", second.ID)
	p.dlq("replay", "--all")
	if list := p.dlq("list"); list != "" {
		t.Errorf("list: %s", list)
	}
	well := newPhone(p, number, "b", "each")
	well.await(1)
	if got := well.got[0]; got.ID != first.ID || got.Seq != 3 || got.Attempt != 1 {
		t.Errorf("the replay came as %+v", got)
	}
	p.awaitStatus(first.ID, "delivered")
}

// TestTimes_ScheduledExpiredCanceled_SurviveKill checks across a kill -9 that a scheduled message arrives when due, that
// a message with a time to live expires, and that a canceled message never arrives.
func TestTimes_ScheduledExpiredCanceled_SurviveKill(t *testing.T) {
	t.Parallel()
	p := start(t)
	const number = "+967771000008"
	post := func(fields map[string]any) (m message) {
		fields["recipientPhoneNumber"], fields["messageContent"] = number, "x"
		p.call(http.MethodPost, "/v1/messages", p.secrets.APIKey, fields, &m)
		return m
	}
	later, taken := post(map[string]any{"sendAt": in(12)}), post(map[string]any{"sendAt": in(11)}) // time enough to cancel, and for what is not scheduled to be first
	mortal := post(map[string]any{"ttlSeconds": 1})
	if later.Status != "scheduled" || later.Seq != 0 || mortal.Status != "queued" {
		t.Errorf("%+v, %+v", later, mortal)
	}
	p.call(http.MethodDelete, "/v1/messages/"+taken.ID, p.secrets.APIKey, nil, &taken)
	if taken.Status != "canceled" {
		t.Errorf("%+v", taken)
	}
	if err := p.node.Kill(); err != nil {
		t.Fatal(err)
	}
	p.start()
	p.awaitStatus(mortal.ID, "expired")
	phone := newPhone(p, number, "a", "each")
	phone.await(1)
	if got := phone.got[0]; got.ID != later.ID || got.Seq != 2 {
		t.Errorf("%+v came, want %s with seq 2", got, later.ID)
	}
	p.awaitStatus(later.ID, "delivered")
}

// TestVerify_RunningAndStoppedNode_Works runs the command on a node and on its stopped store.
func TestVerify_RunningAndStoppedNode_Works(t *testing.T) {
	t.Parallel()
	p := start(t, fastRetries...)
	p.send("+967771000009", "x", "normal")
	code, stdout, stderr := esh3ar(t, "verify", "--url", p.node.URL, "--data-dir", p.dataDir)
	if code != 0 {
		t.Errorf("live: %d\n%s%s", code, stdout, stderr)
	}
	if code, _, stderr = esh3ar(t, "verify", "--data-dir", p.dataDir); code == 0 || !strings.Contains(stderr, "--url") {
		t.Errorf("beside a running node: %d %s", code, stderr)
	}
	if err := p.node.Stop(); err != nil {
		t.Fatal(err)
	}
	report := filepath.Join(t.TempDir(), "report.json")
	if code, stdout, stderr = esh3ar(t, "verify", "--data-dir", p.dataDir, "--json", report); code != 0 {
		t.Errorf("stopped: %d\n%s%s", code, stdout, stderr)
	}
	var told struct {
		Survey struct{ Messages int } `json:"survey"`
	}
	text, err := os.ReadFile(report)
	if err != nil || json.Unmarshal(text, &told) != nil || told.Survey.Messages != 1 {
		t.Errorf("%s: %+v, %v", text, told, err)
	}
}

// in is the time some seconds from now, as the API wants it.
func in(seconds int) string {
	return time.Now().Add(time.Duration(seconds) * time.Second).UTC().Format(time.RFC3339)
}
