package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// keyedSend sends with an idempotency key and returns the status, whether it was a replay, and the body.
func (p *platform) keyedSend(key string) (status int, replayed bool, body string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.node.URL+"/v1/messages",
		strings.NewReader(`{"recipientPhoneNumber":"`+bob+`","messageContent":"once"}`))
	if err != nil {
		p.t.Fatal(err)
	}
	for name, value := range map[string]string{"Authorization": "Bearer " + p.secrets.APIKey, "Content-Type": "application/json", "Idempotency-Key": key} {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Idempotent-Replayed") == "true", string(text)
}

// firstEvents opens the stream of events behind an id and returns its first ids, or names of events where they have no id.
func (p *platform) firstEvents(lastEventID string, n int) (found []string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.node.URL+"/v1/events", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.secrets.APIKey)
	if lastEventID != "" {
		req.Header.Set("Last-Event-ID", lastEventID)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for len(found) < n && lines.Scan() {
		if line := lines.Text(); strings.HasPrefix(line, "id: ") || strings.HasPrefix(line, "event: ") || strings.HasPrefix(line, "data: ") {
			found = append(found, line)
		}
	}
	if len(found) < n {
		p.t.Fatalf("the stream ended after %q: %v", found, lines.Err())
	}
	return found
}

// moves runs the command and wants success.
func moves(t *testing.T, from, to string) string {
	t.Helper()
	code, out, errs := esh3ar(t, "move", "--from", from, "--to", to)
	if code != 0 || !strings.Contains(out, "read back and verified") {
		t.Fatalf("move: code %d\n%s%s", code, out, errs)
	}
	if strings.Contains(out+errs, "secret@") {
		t.Errorf("the password of the URL is printed:\n%s%s", out, errs)
	}
	return out
}

// wantInOrder checks that a phone got messages once each, and each priority in the order in which it was sent.
func wantInOrder(t *testing.T, ph *phone, sent []message) {
	t.Helper()
	of, at := map[string]message{}, map[string]int{}
	for _, m := range ph.got {
		of[m.ID] = m
	}
	for _, want := range sent {
		got, ok := of[want.ID]
		if !ok || got.Seq != want.Seq || got.Content != want.Content {
			t.Errorf("message %s: got %+v, want %+v", want.ID, got, want)
		}
	}
	for _, m := range ph.got {
		if m.Seq <= at[m.Priority] {
			t.Errorf("%s: seq %d came behind %d", m.Priority, m.Seq, at[m.Priority])
		}
		at[m.Priority] = m.Seq
	}
}

func TestMove_ThereAndBack_DeliversEverythingInOrder(t *testing.T) {
	t.Parallel()
	server := database(t)
	url := server.URL("postgres")
	p := start(t)
	var sent []message
	send := func(n int) {
		for i := range n {
			priority := []string{"low", "normal", "high", "urgent"}[i%4]
			m := p.send(alice, fmt.Sprint("message ", len(sent)), priority)
			m.Content = fmt.Sprint("message ", len(sent))
			sent = append(sent, m)
		}
	}
	send(30)
	status, _, original := p.keyedSend("key-1")
	if status != http.StatusAccepted {
		t.Fatalf("keyed send: %d %s", status, original)
	}
	begin := strings.TrimPrefix(p.firstEvents("", 1)[0], "id: ")
	p.stopNode()

	moves(t, p.dataDir, url)
	refused(t, "was moved to", "--listen", "127.0.0.1:0", "--data-dir", p.dataDir)
	p.flags = []string{"--database-url", url}
	p.start()
	if status, replayed, body := p.keyedSend("key-1"); status != http.StatusAccepted || !replayed || body != original {
		t.Errorf("the key after the move: got %d, replayed %v, %s, want %s", status, replayed, body, original)
	}
	if got := p.firstEvents(begin, 4); got[1] != "event: reset" || got[2] != `data: {"reason":"restored"}` || got[3] != "event: message.status" {
		t.Errorf("the stream after the move begins with %q, want a reset and then events", got)
	}
	ph := newPhone(p, alice, "a", "each")
	ph.await(len(sent))
	wantInOrder(t, ph, sent)
	ph.vanish()
	for _, m := range sent {
		p.awaitStatus(m.ID, "delivered")
	}
	before := len(sent)
	send(12)
	p.stopNode()

	moves(t, url, p.dataDir)
	refused(t, "was moved to", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir(), "--database-url", url)
	p.flags = nil
	p.start()
	if status, replayed, body := p.keyedSend("key-1"); status != http.StatusAccepted || !replayed || body != original {
		t.Errorf("the key after both moves: got %d, replayed %v, %s, want %s", status, replayed, body, original)
	}
	ph = newPhone(p, alice, "a", "each")
	ph.await(len(sent) - before)
	wantInOrder(t, ph, sent[before:])
	if m := p.get(sent[0].ID); m.Status != "delivered" || m.DeliveredAt == "" {
		t.Errorf("a message of before both moves: got %+v, want it delivered", m)
	}
}

func (p *platform) stopNode() {
	p.t.Helper()
	if err := p.node.Stop(); err != nil {
		p.t.Fatal(err)
	}
}

// TestMove_Killed_BeginsAgain kills the command at each of its steps: the source stays in force, and the target starts no node.
func TestMove_Killed_BeginsAgain(t *testing.T) {
	t.Parallel()
	server := database(t)
	url := server.URL("postgres")
	p := start(t)
	m := p.send(alice, "waits", "normal")
	p.stopNode()
	for _, step := range []string{"Verifying " + p.dataDir, "copied", "read back", "Verifying 127"} {
		killAt(t, step, "move", "--from", p.dataDir, "--to", url)
		if code, _, errs := esh3ar(t, "verify", "--data-dir", p.dataDir); code != 0 {
			t.Fatalf("killed at %q: the source: code %d, %s", step, code, errs)
		}
	}
	refused(t, "that has not ended: run the same", "--listen", "127.0.0.1:0", "--data-dir", t.TempDir(), "--database-url", url)
	p.start() // the source is in force
	p.stopNode()
	moves(t, p.dataDir, url)
	if code, out, errs := esh3ar(t, "move", "--from", p.dataDir, "--to", url); code != 0 || !strings.Contains(out, "was moved to") {
		t.Errorf("moved again: code %d, %s%s, want 0 and a word that it was moved", code, out, errs)
	}
	p.flags = []string{"--database-url", url}
	p.start()
	ph := newPhone(p, alice, "a", "each")
	ph.await(1)
	if ph.got[0].ID != m.ID {
		t.Errorf("got %+v, want %s", ph.got[0], m.ID)
	}
}

// killAt runs a command and kills it when it prints text, or lets it fail.
func killAt(t *testing.T, text string, args ...string) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var printed bytes.Buffer
	lines := bufio.NewScanner(errs)
	for lines.Scan() {
		printed.WriteString(lines.Text() + "\n")
		if strings.HasPrefix(lines.Text(), text) {
			break
		}
	}
	_ = cmd.Process.Kill() // it may have ended already
	_ = cmd.Wait()
	if !strings.Contains(printed.String(), text) {
		t.Fatalf("the command ended before %q:\n%s", text, printed.String())
	}
}

func TestMove_NotPossible_IsRefusedInOneLine(t *testing.T) {
	t.Parallel()
	server := database(t)
	url := server.URL("postgres")
	p := start(t)
	wants := func(want string, args ...string) {
		t.Helper()
		code, _, errs := esh3ar(t, append([]string{"move"}, args...)...)
		if code != 2 || strings.Count(errs, "\n") != 1 || !strings.Contains(errs, want) {
			t.Errorf("%q: code %d, %s, want 2 and one line with %q", args, code, errs, want)
		}
	}
	wants("stop it first", "--from", p.dataDir, "--to", url)
	wants("there is no store", "--from", t.TempDir(), "--to", url)
	wants("give one of each", "--from", p.dataDir, "--to", t.TempDir())
	wants("no node has used", "--from", url, "--to", t.TempDir())
	other := start(t, "--database-url", url)
	wants("nodes use the database", "--from", url, "--to", t.TempDir())
	p.stopNode()
	wants("nodes use the database", "--from", p.dataDir, "--to", url)
	other.stopNode()
	wants("is not empty", "--from", p.dataDir, "--to", url)
	wants("holds a store already", "--from", url, "--to", p.dataDir)
}
