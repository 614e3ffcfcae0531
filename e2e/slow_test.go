package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar/internal/testkit/faultproxy"
	"github.com/esh3artech/esh3ar/internal/testkit/pgproc"
)

// throughLink starts a node whose database connection runs through a fault-injecting link.
func throughLink(t *testing.T, server *pgproc.Server, flags ...string) (*platform, *faultproxy.Link) {
	t.Helper()
	link, err := faultproxy.New("database", "127.0.0.1:0", server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	url := strings.Replace(server.URL("postgres"), server.Addr, link.Addr(), 1)
	return start(t, append(flags, "--database-url", url)...), link
}

// during runs do while the link has a fault.
func during(t *testing.T, link *faultproxy.Link, h faultproxy.Fault, do func()) {
	t.Helper()
	if err := link.Inject(h); err != nil {
		t.Fatal(err)
	}
	do()
	if err := link.Clear(context.WithoutCancel(t.Context()), h); err != nil {
		t.Fatal(err)
	}
}

// bulk is calls that are made at the same time.
type bulk struct {
	mu      sync.Mutex
	answers map[string]accepted // by content
	refused map[int]int         // by HTTP status
}

// together sends n messages at once, to fifty numbers that only messages of this name have.
func (p *platform) together(n int, name, priority string, size int) *bulk {
	p.t.Helper()
	b := &bulk{answers: map[string]accepted{}, refused: map[int]int{}}
	var callers sync.WaitGroup
	for i := range n {
		callers.Go(func() {
			content := fmt.Sprintf("%s-%d ", name, i)
			body, err := json.Marshal(map[string]string{
				"recipientPhoneNumber": fmt.Sprintf("+96777%03d%04d", len(name), i%50), "messageContent": content + strings.Repeat("x", size), "priority": priority,
			})
			if err != nil {
				p.t.Error(err)
				return
			}
			code, _, text := p.ask(http.MethodPost, "/v1/messages", string(body), nil)
			b.mu.Lock()
			defer b.mu.Unlock()
			if code != http.StatusAccepted {
				b.refused[code]++
				return
			}
			var a accepted
			if err := json.Unmarshal([]byte(text), &a); err != nil {
				p.t.Error(err)
			}
			b.answers[content] = a
		})
	}
	callers.Wait()
	return b
}

func (b *bulk) durabilities() (counts map[string]int) {
	counts = map[string]int{}
	for _, a := range b.answers {
		counts[a.Durability]++
	}
	return counts
}

// stored waits until the database knows every message that was answered.
func (p *platform) stored(b *bulk) {
	p.t.Helper()
	for content, a := range b.answers {
		if code, body := p.try(http.MethodGet, "/v1/messages/"+a.ID, ""); code != http.StatusOK {
			p.t.Errorf("%s is lost: %d %s", content, code, body)
		}
	}
}

// TestDatabase_SlowThenSilent_Recovers delays the link to PostgreSQL, first below and then above the timeouts, and
// finally silences it. The node accepts what it can, refuses calls only with a clear answer, and recovers when the fault
// is cleared.
func TestDatabase_SlowThenSilent_Recovers(t *testing.T) {
	t.Parallel()
	p, link := throughLink(t, database(t))
	p.send(bob, "first", "normal")
	var all []*bulk
	for _, phase := range []struct {
		name       string
		fault      faultproxy.Fault
		durability []string // that answers may have
	}{
		{"slow", faultproxy.Fault{Kind: faultproxy.Delayed, Delay: 300 * time.Millisecond}, []string{"stored", "spilled"}},
		{"too slow", faultproxy.Fault{Kind: faultproxy.Delayed, Delay: 4 * time.Second}, []string{"stored", "spilled"}},
		{"silent", faultproxy.Fault{Kind: faultproxy.Swallowed}, []string{"spilled"}},
		{"cut", faultproxy.Fault{Kind: faultproxy.Severed}, []string{"spilled"}},
	} {
		during(t, link, phase.fault, func() {
			taken := 0
			for try := 0; taken < 150 && try < 3; try++ { // a connection that looked whole takes with it what has come by then
				b := p.together(200, phase.name+strings.Repeat(" again", try), "normal", 10)
				for durability, n := range b.durabilities() {
					if !slices.Contains(phase.durability, durability) {
						t.Errorf("%s: %d answers say %s", phase.name, n, durability)
					}
				}
				for code := range b.refused {
					if code != http.StatusServiceUnavailable && code != http.StatusBadGateway {
						t.Errorf("%s: answered %d", phase.name, code)
					}
				}
				all, taken = append(all, b), len(b.answers)
			}
			if taken < 150 {
				t.Errorf("%s: %d of 200 taken in the end", phase.name, taken)
			}
		})
		p.drained()
	}
	after := p.together(200, "after", "normal", 10)
	if counts := after.durabilities(); counts["stored"] != 200 {
		t.Errorf("with a good link again: %v, refused %v", counts, after.refused)
	}
	for _, b := range append(all, after) {
		p.stored(b)
	}
}

// TestMemory_DatabaseSlow_SpillsLowPriorities exceeds the memory limit for calls that wait for a slow database. The
// lowest priorities are spilled first. No call is refused and no message is lost.
func TestMemory_DatabaseSlow_SpillsLowPriorities(t *testing.T) {
	t.Parallel()
	p, link := throughLink(t, database(t), "--queue-memory", "1MiB")
	p.send(bob, "first", "normal")
	var low, urgent *bulk
	during(t, link, faultproxy.Fault{Kind: faultproxy.Delayed, Delay: 500 * time.Millisecond}, func() {
		var both sync.WaitGroup
		both.Go(func() { low = p.together(600, "low", "low", 4000) })
		both.Go(func() { urgent = p.together(40, "urgent", "urgent", 10) })
		both.Wait()
	})
	if n := low.durabilities()["spilled"]; n == 0 || len(low.answers) != 600 {
		t.Errorf("600 messages of 4 kB and 1 MiB of memory: %d spilled, %d taken, refused %v", n, len(low.answers), low.refused)
	}
	// On a busy machine the database may count as away before any urgent call is sent. Then all calls spill but those of the first batches.
	const firstBatches = 20
	lowStored := max(0, low.durabilities()["stored"]-firstBatches)
	if counts := urgent.durabilities(); len(urgent.answers) != 40 || counts["stored"]*len(low.answers) < lowStored*40 {
		t.Errorf("urgent ones: %v, refused %v; low ones: %v", counts, urgent.refused, low.durabilities())
	}
	p.drained()
	p.stored(low)
	p.stored(urgent)
}
