package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fleet is several nodes of one database, and businesses that call any of them.
type fleet struct {
	t     *testing.T
	nodes []*platform
	next  atomic.Int64
}

func newFleet(t *testing.T, nodes int, flags ...string) *fleet {
	t.Helper()
	f := &fleet{t: t, nodes: []*platform{start(t, flags...)}}
	for len(f.nodes) < nodes {
		f.nodes = append(f.nodes, f.nodes[0].join())
	}
	return f
}

// offer sends a message with a key to one node after the other until one has taken it; what it gives is the message's id.
// The addresses stay: nodes are restarted on the ports of before.
func (f *fleet) offer(phone, content, key string) (id string, err error) {
	body := fmt.Sprintf(`{"recipientPhoneNumber":%q,"messageContent":%q}`, phone, content)
	var last error
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		p := f.nodes[int(f.next.Add(1))%len(f.nodes)]
		var status int
		if id, status, last = p.keyed(body, key); status == http.StatusAccepted {
			return id, nil
		}
		if status >= 400 && status < 500 {
			return "", last
		}
	}
	return "", last
}

// keyed makes one call; an error of the network is one like another.
func (p *platform) keyed(body, key string) (id string, status int, err error) {
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "http://"+p.listen+"/v1/messages", strings.NewReader(body))
	if err != nil {
		return "", 0, err
	}
	req.Header.Set("Authorization", "Bearer "+p.secrets.APIKey)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	resp, err := patient.Do(req)
	if err != nil {
		return "", 0, err
	}
	defer resp.Body.Close()
	var m accepted
	if err := decode(resp, &m); err != nil {
		return "", resp.StatusCode, err
	}
	return m.ID, resp.StatusCode, nil
}

// TestRollingRestart restarts one node after the other under load: no call with a key fails for a client that tries again, no
// message is lost, and each sender's messages come in their order to phones that stay on Microsoft's automatic reconnect.
func TestRollingRestart(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 3, "--database-url", database(t).URL("postgres"), "--redis-url", redisServer(t).URL())
	var phones []*phone
	for i, p := range f.nodes {
		phones = append(phones, newPhone(p, fmt.Sprint("+96777300000", i), "a", "each"))
	}
	stop := make(chan struct{})
	answered := make([][]string, len(phones))
	failed := make([]error, len(phones))
	var senders sync.WaitGroup
	end := sync.OnceFunc(func() { close(stop); senders.Wait() })
	defer end()
	for i := range phones {
		senders.Go(func() {
			for k := 0; ; k++ {
				select {
				case <-stop:
					return
				default:
				}
				id, err := f.offer(fmt.Sprint("+96777300000", i), fmt.Sprint(k), fmt.Sprint(i, "-", k))
				if err != nil {
					failed[i] = errors.Join(failed[i], fmt.Errorf("call %d: %w", k, err))
					return
				}
				answered[i] = append(answered[i], id)
			}
		})
	}
	for _, p := range f.nodes {
		before := f.nodes[0].metric("esh3ar_delivery_published_total")
		if err := p.node.Stop(); err != nil {
			t.Errorf("a node that restarts: %v", err)
		}
		p.start()
		eventually(t, func() bool {
			now := f.nodes[0].metric("esh3ar_delivery_published_total") // its own restart sets it back
			return now < before || now > before+20
		}, func() string { return "no traffic after a restart" })
	}
	end()
	for i, ph := range phones {
		if failed[i] != nil {
			t.Errorf("sender %d: %v", i, failed[i])
		}
		awaitAll(ph, answered[i])
		if got := firsts(ids(ph.got)); !slices.Equal(got, answered[i]) {
			t.Errorf("phone %d: %d messages came, %d were sent, or in another order", i, len(got), len(answered[i]))
		}
		for !slices.Contains(ph.states, "reconnected") { // the client reports it after the first messages
			ph.take(fmt.Sprintf("phone %d was never moved: %v", i, ph.states))
		}
	}
}

// TestNode_PausedAndResumed_ChangesNothing pauses a node until the cluster considers it dead, while its phone moves to
// another node and its messages are delivered there. After it resumes, it must not change or repeat anything.
func TestNode_PausedAndResumed_ChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 2, "--database-url", database(t).URL("postgres"), "--redis-url", redisServer(t).URL(), "--ack-timeout", "1s")
	a, b := f.nodes[0], f.nodes[1]
	held := newPhone(a, alice, "a", "none") // pushed to, and not acknowledged
	first := b.send(alice, "first", "normal")
	held.await(1)
	if err := a.node.Pause(); err != nil {
		t.Fatal(err)
	}
	held.vanish()
	second := b.send(alice, "second", "normal")
	// On a busy machine b is over its load, and would redirect the phone to the paused node until the cluster considers it dead.
	eventually(t, func() bool { return strings.Contains(b.node.Stderr.String(), "nodes left the cluster") },
		func() string { return "the other node did not notice the pause: " + b.node.Stderr.String() })
	ph := newPhone(b, alice, "a", "each")
	awaitAll(ph, []string{first.ID, second.ID})
	b.awaitStatus(second.ID, "delivered")
	if err := a.node.Resume(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return strings.Count(b.node.Stderr.String(), "nodes joined the cluster") >= 2 },
		func() string { return "the node that woke up is not back: " + b.node.Stderr.String() })
	third := a.send(alice, "third", "normal")
	awaitAll(ph, []string{third.ID})
	b.awaitStatus(third.ID, "delivered")
	for _, m := range []message{first, second, third} {
		if now := a.get(m.ID); now.Status != "delivered" {
			t.Errorf("%s is %s after the node woke up", m.Content, now.Status)
		}
	}
	if got := firsts(ids(ph.got)); !slices.Equal(got, []string{first.ID, second.ID, third.ID}) {
		t.Errorf("the phone has %v", contents(ph.got))
	}
}

func decode(resp *http.Response, into any) error {
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%d %s", resp.StatusCode, text)
	}
	return json.Unmarshal(text, into)
}
