package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/pgproc"
)

const bob = "+967771000002"

// restart restarts a killed server.
func restart(t *testing.T, server interface{ Restart(context.Context) error }) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := server.Restart(ctx); err != nil {
		t.Fatal(err)
	}
}

// accepted is the answer to one message.
type accepted struct {
	ID         string `json:"id"`
	Seq        int    `json:"seq"`
	Status     string `json:"status"`
	Durability string `json:"durability"`
	replayed   bool
}

// offer sends a message and retries while the outcome is unknown. Without a key (empty) it does not retry and returns ok
// = false.
func (p *platform) offer(phone, content, key string) (a accepted, ok bool) {
	p.t.Helper()
	for {
		code, header, body := p.tryKeyed(phone, content, key)
		switch {
		case code == http.StatusAccepted:
			if err := json.Unmarshal([]byte(body), &a); err != nil {
				p.t.Errorf("%s: %v", body, err)
			}
			a.replayed = header.Get("Idempotent-Replayed") == "true"
			return a, true
		case code == http.StatusBadGateway && key == "":
			return a, false
		case code != http.StatusBadGateway && code != http.StatusServiceUnavailable:
			p.t.Errorf("POST: %d %s", code, body)
			return a, false
		}
		<-time.After(10 * time.Millisecond) // as a client that honours Retry-After
	}
}

func (p *platform) tryKeyed(phone, content, key string) (int, http.Header, string) {
	p.t.Helper()
	body, err := json.Marshal(map[string]string{"recipientPhoneNumber": phone, "messageContent": content})
	if err != nil {
		p.t.Fatal(err)
	}
	return p.ask(http.MethodPost, "/v1/messages", string(body), map[string]string{"Idempotency-Key": key})
}

// drained waits until nothing is left in the node's spill.
func (p *platform) drained() {
	p.t.Helper()
	eventually(p.t, func() bool { return p.metric("esh3ar_spill_messages") == 0 }, func() string {
		return "the spill is not drained: " + p.node.Stderr.String()
	})
}

// TestDatabase_KilledUnderLoad_LosesNothing kills PostgreSQL under load and restarts it. Every call is accepted, no
// message is lost or duplicated, each sender's messages keep their order, and reads answer that the store is
// unavailable.
func TestDatabase_KilledUnderLoad_LosesNothing(t *testing.T) {
	t.Parallel()
	server := database(t)
	p := start(t, "--database-url", server.URL("postgres"))
	before := p.send(bob, "before", "normal")
	phones := []string{"+967772000001", "+967772000002", "+967772000003"}
	var devices []*phone
	for _, number := range phones {
		devices = append(devices, newPhone(p, number, "a", "each"))
	}
	stop := make(chan struct{})
	lists := make([][]string, len(phones)) // ids that were answered, in the sender's order
	spilled := make([]atomic.Int64, len(phones))
	var senders sync.WaitGroup
	end := sync.OnceFunc(func() { close(stop); senders.Wait() })
	defer end()
	for i, number := range phones {
		senders.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-stop:
					return
				default:
				}
				if a, ok := p.offer(number, fmt.Sprint(k), fmt.Sprintf("%d-%d", i, k)); ok {
					lists[i] = append(lists[i], a.ID)
					if a.Durability == "spilled" {
						spilled[i].Add(1)
					}
				}
			}
		})
	}
	eventually(t, func() bool { return p.metric("esh3ar_delivery_pushed_total") > 20 }, func() string { return "no traffic" })
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return p.metric("esh3ar_spill_messages") > 50 }, func() string { return "nothing is spilled: " + p.node.Stderr.String() })
	for i := range spilled {
		eventually(t, func() bool { return spilled[i].Load() > 0 }, func() string { return fmt.Sprintf("nothing of sender %d is spilled", i) })
	}
	for _, path := range []string{"/v1/messages/" + before.ID, "/v1/messages", "/v1/messages/" + before.ID + "/events"} {
		if code, body := p.try(http.MethodGet, path, ""); code != http.StatusServiceUnavailable || !strings.Contains(body, `"store_unavailable"`) {
			t.Errorf("GET %s without a database: %d %s", path, code, body)
		}
	}
	restart(t, server)
	p.drained()
	after := p.metric("esh3ar_delivery_pushed_total")
	eventually(t, func() bool { return p.metric("esh3ar_delivery_pushed_total") > after+20 }, func() string { return "nothing is delivered after the drain" })
	end()
	for i, ph := range devices {
		awaitAll(ph, lists[i])
		if got := firsts(ids(ph.got)); !slices.Equal(got, lists[i]) {
			t.Errorf("phone %d: what came is not what was sent, in its order: %d of %d", i, len(got), len(lists[i]))
		}
	}
	for _, line := range []string{"the database does not answer", "the database answers"} {
		p.awaitLine(line)
	}
}

// awaitAll waits until every id has come.
func awaitAll(ph *phone, want []string) {
	ph.t.Helper()
	missing := map[string]bool{}
	for _, id := range want {
		missing[id] = true
	}
	seen := 0
	for {
		for ; seen < len(ph.got); seen++ {
			delete(missing, ph.got[seen].ID)
		}
		if len(missing) == 0 {
			return
		}
		ph.take(fmt.Sprintf("%d messages are missing", len(missing)))
	}
}

// firsts removes repeats.
func firsts(list []string) (once []string) {
	seen := map[string]bool{}
	for _, id := range list {
		if !seen[id] {
			seen[id] = true
			once = append(once, id)
		}
	}
	return once
}

// TestIdempotencyKey_DatabaseAway_OneMessageRemains checks that a key has one message on one node before, during and
// after an outage of the database. If two nodes accept the same key during the outage, one message is canceled as a
// duplicate and never delivered.
func TestIdempotencyKey_DatabaseAway_OneMessageRemains(t *testing.T) {
	t.Parallel()
	server := database(t)
	a := start(t, "--database-url", server.URL("postgres"))
	b := a.join()
	for _, p := range []*platform{a, b} { // both know the key of the business
		p.send(bob, "first", "normal")
	}
	early, _ := a.offer(alice, "early", "early")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	one, _ := a.offer(alice, "code 1", "same")
	if again, _ := a.offer(alice, "code 1", "same"); again.ID != one.ID || !again.replayed || one.Durability != "spilled" {
		t.Errorf("the twin on the same node: %+v, first %+v", again, one)
	}
	if code, _, body := a.tryKeyed(alice, "another", "same"); code != http.StatusUnprocessableEntity || !strings.Contains(body, "idempotency_mismatch") {
		t.Errorf("another call with the key: %d %s", code, body)
	}
	other, _ := b.offer(alice, "code 1", "same")
	second, _ := a.offer(alice, "early", "early") // the database has its first call and cannot be asked
	restart(t, server)
	a.drained()
	b.drained()
	winners, losers := 0, 0
	for _, id := range []string{one.ID, other.ID} {
		var m struct {
			Status        string `json:"status"`
			Seq           int    `json:"seq"`
			FailureReason string `json:"failureReason"`
		}
		a.call(http.MethodGet, "/v1/messages/"+id, a.secrets.APIKey, nil, &m)
		switch {
		case m.Status == "canceled" && m.FailureReason == "duplicate" && m.Seq == 0:
			losers++
		case m.Seq > 0:
			winners++
		default:
			t.Errorf("%s: %+v", id, m)
		}
	}
	if winners != 1 || losers != 1 {
		t.Errorf("%d have the key and %d are duplicates", winners, losers)
	}
	if m := b.get(early.ID); m.Status == "canceled" {
		t.Error("the first call of a key was canceled")
	}
	if m := b.get(second.ID); second.ID != early.ID && m.Status != "canceled" {
		t.Errorf("the second call of a key is %s", m.Status)
	}
	ph := newPhone(b, alice, "a", "each")
	ph.await(2)
	if got := contents(ph.got); !slices.Equal(got, []string{"early", "code 1"}) {
		t.Errorf("the phone has %v", got)
	}
}

// TestShutdown_SpillNotEmpty_ExitsThree checks that SIGTERM during a database outage exits with code 3 and a line that
// names the next step, and that this step delivers the messages through the running nodes.
func TestShutdown_SpillNotEmpty_ExitsThree(t *testing.T) {
	t.Parallel()
	server := database(t)
	url := server.URL("postgres")
	a := start(t, "--database-url", url, "--shutdown-timeout", "3s")
	b := a.join()
	a.send(bob, "first", "normal")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	var sent []string
	for i := range 5 {
		m, _ := a.offer(alice, fmt.Sprint(i), "")
		sent = append(sent, m.ID)
	}
	if code, out, errs := esh3ar(t, "spill", "list", "--url", a.node.URL, "--data-dir", a.dataDir); code != 0 || !strings.Contains(out, "5 messages in 5 calls wait") {
		t.Errorf("spill list of a running node: %d %s%s", code, out, errs)
	}
	if code, _, errs := esh3ar(t, "spill", "drain", "--data-dir", a.dataDir, "--database-url", url); code != 2 || !strings.Contains(errs, "running node") {
		t.Errorf("spill drain of a running node: %d %s", code, errs)
	}
	if err := a.node.Stop(); err == nil || a.node.ExitCode() != 3 || !strings.Contains(err.Error(), "spill drain --data-dir") {
		t.Errorf("the end: %v", err)
	}
	if code, out, errs := esh3ar(t, "spill", "list", "--data-dir", a.dataDir); code != 0 || !strings.Contains(out, "5 messages in 5 calls wait") {
		t.Errorf("spill list: %d %s%s", code, out, errs)
	}
	restart(t, server)
	wrongDatabases(t, server, a.dataDir)
	if code, out, errs := esh3ar(t, "spill", "drain", "--data-dir", a.dataDir, "--database-url", url); code != 0 || !strings.Contains(out, "5 messages are in the database") {
		t.Errorf("spill drain: %d %s%s", code, out, errs)
	}
	ph := newPhone(b, alice, "a", "each")
	ph.await(5)
	if got := ids(ph.got); !slices.Equal(got, sent) {
		t.Errorf("the phone has %v, want %v", got, sent)
	}
	if code, out, errs := esh3ar(t, "spill", "drain", "--data-dir", a.dataDir, "--database-url", url); code != 0 || !strings.Contains(out, "0 messages") {
		t.Errorf("a second drain: %d %s%s", code, out, errs)
	}
}

// wrongDatabases are databases with which status, drain and start must be refused in one line, without any change to
// them.
func wrongDatabases(t *testing.T, server *pgproc.Server, dataDir string) {
	t.Helper()
	for _, name := range []string{"empty", "another"} {
		if err := server.Exec(t.Context(), "postgres", "CREATE DATABASE "+name); err != nil {
			t.Fatal(err)
		}
	}
	if err := start(t, "--database-url", server.URL("another")).node.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ database, args, said string }{
		{"empty", "spill drain --data-dir " + dataDir, "no node has used this database"},
		{"empty", "verify", "no node has used this database"},
		{"empty", "scaler --history", "no node has used this database"},
		{"another", "spill drain --data-dir " + dataDir, "another cluster"},
		{"another", "serve --listen 127.0.0.1:0 --data-dir " + dataDir, "another cluster"},
	} {
		code, out, errs := esh3ar(t, append(strings.Fields(c.args), "--database-url", server.URL(c.database))...)
		if last := lastLine(errs); code != 2 || !strings.HasPrefix(last, "esh3ar: --database-url: ") || !strings.Contains(last, c.said) {
			t.Errorf("%s with the database %s: %d %s%s", c.args, c.database, code, out, errs)
		}
	}
	if err := server.Exec(t.Context(), "empty", "SELECT 1/count(*) FROM pg_tables WHERE schemaname = 'public'"); err == nil {
		t.Error("who looked into an empty database has made tables there")
	}
	if code, out, errs := esh3ar(t, "spill", "list", "--data-dir", dataDir); code != 0 || !strings.Contains(out, "5 messages in 5 calls wait") {
		t.Errorf("spill list after them: %d %s%s", code, out, errs)
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// TestSpill_NodeKilled_KeepsMessages kills node and database: messages answered as spilled are on the node's disk.
func TestSpill_NodeKilled_KeepsMessages(t *testing.T) {
	t.Parallel()
	server := database(t)
	p := start(t, "--database-url", server.URL("postgres"))
	p.send(bob, "first", "normal")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	var sent []string
	for i := range 50 {
		m, _ := p.offer(alice, fmt.Sprint(i), "")
		sent = append(sent, m.ID)
	}
	if err := p.node.Kill(); err != nil {
		t.Fatal(err)
	}
	restart(t, server)
	p.start()
	ph := newPhone(p, alice, "a", "each")
	ph.await(len(sent))
	if got := ids(ph.got); !slices.Equal(got, sent) {
		t.Errorf("%d of %d came, or in another order", len(got), len(sent))
	}
}

// TestSpill_Full_RefusesCalls checks that a call which does not fit is refused and leaves nothing behind.
func TestSpill_Full_RefusesCalls(t *testing.T) {
	t.Parallel()
	server := database(t)
	p := start(t, "--database-url", server.URL("postgres"), "--spill-mib", "1")
	p.send(bob, "first", "normal")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 4000)
	kept := 0
	for {
		code, header, body := p.tryKeyed(alice, long, "")
		if code == http.StatusAccepted {
			kept++
			continue
		}
		if code == http.StatusBadGateway && kept == 0 {
			continue // the first may have found a connection that looked whole
		}
		if code != http.StatusServiceUnavailable || !strings.Contains(body, `"storage_full"`) || header.Get("Retry-After") == "" {
			t.Fatalf("the spill is full: %d %s", code, body)
		}
		break
	}
	restart(t, server)
	p.drained()
	ph := newPhone(p, alice, "a", "each")
	ph.await(kept)
	if a, ok := p.offer(alice, "after", ""); !ok || a.Durability != "stored" {
		t.Errorf("after the drain: %+v", a)
	}
	ph.await(kept + 1)
}

// TestSpill_UnstorableCall_IsQuarantined checks that a spilled call which PostgreSQL always rejects is moved to the
// quarantine, that an operator can send it again later, and that other messages are not delayed.
func TestSpill_UnstorableCall_IsQuarantined(t *testing.T) {
	t.Parallel()
	server := database(t)
	p := start(t, "--database-url", server.URL("postgres"))
	p.send(bob, "first", "normal")
	poison(t, server)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"one", "poison", "two"} {
		p.offer(alice, content, "")
	}
	restart(t, server)
	ph := newPhone(p, alice, "a", "each")
	ph.await(2)
	if got := contents(ph.got); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("the phone has %v", got)
	}
	eventually(t, func() bool { return p.metric("esh3ar_spill_quarantined_calls") == 1 }, func() string { return "no call is in quarantine" })
	if code, out, errs := esh3ar(t, "spill", "list", "--url", p.node.URL, "--data-dir", p.dataDir); code != 0 || !strings.Contains(out, "nobody may store poison") {
		t.Errorf("spill list: %d %s%s", code, out, errs)
	}
	p.awaitLine("is in quarantine: look at it with `esh3ar spill list`")
	cure(t, server)
	if code, out, errs := esh3ar(t, "spill", "readmit", "--url", p.node.URL, "--data-dir", p.dataDir); code != 0 || !strings.Contains(out, "1 calls") {
		t.Errorf("spill readmit: %d %s%s", code, out, errs)
	}
	ph.await(3)
	if got := contents(ph.got); got[2] != "poison" {
		t.Errorf("the phone has %v", got)
	}
}

// poison makes the database reject a message content, to simulate a call that can never be stored.
func poison(t *testing.T, server *pgproc.Server) {
	t.Helper()
	sql(t, server, `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF NEW.content = 'poison' THEN RAISE EXCEPTION 'nobody may store poison' USING ERRCODE = '22023'; END IF;
		RETURN NEW;
	END $$;
	CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION refuse();`)
}

func cure(t *testing.T, server *pgproc.Server) {
	t.Helper()
	sql(t, server, `DROP TRIGGER refuse ON messages`)
}

func sql(t *testing.T, server *pgproc.Server, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := server.Exec(ctx, "postgres", text); err != nil {
		t.Fatal(err)
	}
}
