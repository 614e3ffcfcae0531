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

// desk stands for the engine of a node, with its router.
type desk struct {
	router *presence.Router
	stop   context.CancelFunc
	table  *presence.Table[int]
	mu     struct {
		sync.Mutex
		heard    []string
		absent   []string
		asserted []esh3ar.Recipient
		unrouted int
		errors   map[string]int
	}
}

var _ presence.Engine = (*desk)(nil)

// start begins a node in a bubble.
func start(t *testing.T, c *clustersim.Cluster, self membership.NodeID, more ...func(*presence.Options)) *desk {
	t.Helper()
	d := &desk{table: presence.NewTable[int]()}
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
		done <- nil // whoever stops it again
	}
	t.Cleanup(func() { d.stop() })
	synctest.Wait()
	return d
}

func (d *desk) open(r esh3ar.Recipient, session int) {
	if d.table.Add(r, session) {
		d.router.Changed(r)
	}
}

func (d *desk) close(r esh3ar.Recipient, session int) {
	if d.table.Remove(r, session) {
		d.router.Changed(r)
	}
}

func (d *desk) HasSession(r esh3ar.Recipient) bool           { return d.table.Has(r) }
func (d *desk) ShardRecipients(share int) []esh3ar.Recipient { return d.table.Shard(share) }

func (d *desk) PresenceAsserted(rs []esh3ar.Recipient) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.asserted = append(d.mu.asserted, rs...)
}

func (d *desk) HandleHints(hints []presence.Hint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range hints {
		d.mu.heard = append(d.mu.heard, name(&hints[i]))
	}
}

func (d *desk) RecipientsOffline(hints []presence.Hint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range hints {
		d.mu.absent = append(d.mu.absent, name(&hints[i]))
	}
}

func (d *desk) HintsLost() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.unrouted++
}

func (d *desk) failed(operation string, _ error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.errors[operation]++
}

// name is a hint as tests write it: the last digit of the recipient, and the seq.
func name(h *presence.Hint) string { return fmt.Sprintf("%d/%d", h.Recipient%10, h.Seq) }

func hint(r esh3ar.Recipient, seq esh3ar.Seq) presence.Hint {
	return presence.Hint{Kind: presence.Stored, Recipient: r, Seq: seq, ID: esh3ar.NewMessageID(), Life: 1}
}

// expect waits until nothing happens any more and compares.
func (d *desk) expect(t *testing.T, what string, got func() []string, want ...string) {
	t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if list := got(); !slices.Equal(list, want) {
		t.Errorf("%s: got %v, want %v", what, list, want)
	}
}

func (d *desk) heard(t *testing.T, want ...string) {
	t.Helper()
	d.expect(t, "heard", func() []string { return d.mu.heard }, want...)
}

func (d *desk) absent(t *testing.T, want ...string) {
	t.Helper()
	d.expect(t, "absent", func() []string { return d.mu.absent }, want...)
}

func (d *desk) asserted(t *testing.T, want ...esh3ar.Recipient) {
	t.Helper()
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Equal(d.mu.asserted, want) {
		t.Errorf("asserted: got %v, want %v", d.mu.asserted, want)
	}
}

func says(t *testing.T, c *clustersim.Cluster, r esh3ar.Recipient, want ...membership.NodeID) {
	t.Helper()
	synctest.Wait()
	if got := c.Nodes(r); !slices.Equal(got, want) {
		t.Errorf("presence of %s: got %v, want %v", r, got, want)
	}
}
