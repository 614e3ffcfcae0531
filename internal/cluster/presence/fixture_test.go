package presence_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
	"github.com/esh3artech/esh3ar/internal/testkit/clustersim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	alice = esh3ar.Recipient(967771000001)
	bob   = esh3ar.Recipient(967771000002)
)

// fixture is a node: a fake engine with a real router.
type fixture struct {
	router *presence.Router
	stop   context.CancelFunc
	table  *presence.Table[int]
	mu     struct {
		sync.Mutex
		received  []string
		offline   []string
		asserted  []esh3ar.Recipient
		hintsLost int
		errors    map[string]int
	}
}

var _ presence.Engine = (*fixture)(nil)

// newFixture starts a node in a synctest bubble.
func newFixture(t *testing.T, c *clustersim.Cluster, self membership.NodeID, more ...func(*presence.Options)) *fixture {
	t.Helper()
	d := &fixture{table: presence.NewTable[int]()}
	d.mu.errors = map[string]int{}
	opts := presence.Options{
		Self: self, Presence: clustersim.Presence{Cluster: c, Self: self}, Hints: clustersim.Hints{Cluster: c, Self: self}, OnError: d.failed,
	}
	for _, change := range more {
		change(&opts)
	}
	d.router = presence.NewRouter(opts)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.router.Run(ctx, d) }()
	d.stop = func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", self, err)
		}
		done <- nil // for a second call of stop
	}
	t.Cleanup(func() { d.stop() })
	synctest.Wait()
	return d
}

func (d *fixture) open(r esh3ar.Recipient, session int) {
	if d.table.Add(r, session) {
		d.router.Changed(r)
	}
}

func (d *fixture) close(r esh3ar.Recipient, session int) {
	if d.table.Remove(r, session) {
		d.router.Changed(r)
	}
}

func (d *fixture) HasSession(r esh3ar.Recipient) bool           { return d.table.Has(r) }
func (d *fixture) ShardRecipients(shard int) []esh3ar.Recipient { return d.table.Shard(shard) }

func (d *fixture) PresenceAsserted(rs []esh3ar.Recipient) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.asserted = append(d.mu.asserted, rs...)
}

func (d *fixture) HandleHints(hints []presence.Hint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range hints {
		d.mu.received = append(d.mu.received, name(&hints[i]))
	}
}

func (d *fixture) RecipientsOffline(hints []presence.Hint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range hints {
		d.mu.offline = append(d.mu.offline, name(&hints[i]))
	}
}

func (d *fixture) HintsLost() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.hintsLost++
}

func (d *fixture) failed(operation string, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.errors[operation]++
}

// name formats a hint as tests write it: the last digit of the recipient and the sequence number.
func name(h *presence.Hint) string { return fmt.Sprintf("%d/%d", h.Recipient%10, h.Seq) }

func hint(r esh3ar.Recipient, seq esh3ar.Seq) presence.Hint {
	return presence.Hint{Kind: presence.Stored, Recipient: r, Seq: seq, ID: esh3ar.NewMessageID(), Life: 1}
}

// expect waits until all goroutines of the bubble are blocked, then compares.
func (d *fixture) expect(t *testing.T, what string, got func() []string, want ...string) {
	t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if list := got(); !slices.Equal(list, want) {
		t.Errorf("%s: got %v, want %v", what, list, want)
	}
}

func (d *fixture) expectHints(t *testing.T, want ...string) {
	t.Helper()
	d.expect(t, "received hints", func() []string { return d.mu.received }, want...)
}

func (d *fixture) expectOffline(t *testing.T, want ...string) {
	t.Helper()
	d.expect(t, "offline recipients", func() []string { return d.mu.offline }, want...)
}

func (d *fixture) expectAsserted(t *testing.T, want ...esh3ar.Recipient) {
	t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.mu.asserted, want) {
		t.Errorf("asserted recipients: got %v, want %v", d.mu.asserted, want)
	}
}

func expectNodes(t *testing.T, c *clustersim.Cluster, r esh3ar.Recipient, want ...membership.NodeID) {
	t.Helper()
	synctest.Wait()
	if got := c.Nodes(r); !slices.Equal(got, want) {
		t.Errorf("presence of %s: got %v, want %v", r, got, want)
	}
}
