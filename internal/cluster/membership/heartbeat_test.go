package membership_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memoryRegistry is the storage of a registry in memory; the heartbeats of a test share it.
type memoryRegistry struct {
	sync.Mutex
	unavailable bool  // every call fails
	writeError  error // error of every announcement; nil if writes succeed
	entries     map[membership.NodeID]registryEntry
}

type registryEntry struct {
	membership.Node
	expiresAt time.Time
}

func newMemoryRegistry() *memoryRegistry {
	return &memoryRegistry{entries: map[membership.NodeID]registryEntry{}}
}

// nodeRegistry is the registry as one node sees it.
type nodeRegistry struct {
	*memoryRegistry
	self membership.NodeID
}

func (r nodeRegistry) do(operation func()) error {
	r.Lock()
	defer r.Unlock()
	if r.unavailable {
		return errors.New("unavailable")
	}
	operation()
	return nil
}

func (r nodeRegistry) Announce(_ context.Context, n membership.Node) (membership.Node, error) {
	var before membership.Node
	var writeError error
	err := r.do(func() {
		writeError = r.writeError
		if writeError == nil {
			before = r.entries[r.self].Node
			r.entries[r.self] = registryEntry{n, time.Now().Add(membership.TTL)}
		}
	})
	return before, errors.Join(err, writeError)
}

func (r nodeRegistry) Leave(context.Context) error {
	return r.do(func() { delete(r.entries, r.self) })
}

func (r nodeRegistry) Nodes(context.Context) ([]membership.Node, error) {
	var nodes []membership.Node
	err := r.do(func() {
		for _, id := range slices.Sorted(maps.Keys(r.entries)) {
			if time.Now().Before(r.entries[id].expiresAt) {
				nodes = append(nodes, r.entries[id].Node)
			}
		}
	})
	return nodes, err
}

// startHeartbeat runs the heartbeat of a node. peers collects the calls of OnPeers, and leave stops the heartbeat and waits for it.
func startHeartbeat(t *testing.T, r *memoryRegistry, id membership.NodeID, draining func() bool) (h *membership.Heartbeat, peers *[]string, leave func()) {
	t.Helper()
	peers = new([]string)
	h = membership.NewHeartbeat(membership.Options{
		Registry: nodeRegistry{r, id},
		Status:   func() membership.Node { return membership.Node{ID: id, Draining: draining()} },
		OnPeers:  func(joined, left []membership.NodeID) { *peers = append(*peers, fmt.Sprint("+", joined, "-", left)) },
	})
	leave = run(t, h)
	t.Cleanup(leave)
	return h, peers, leave
}

// run starts h and returns a function that stops it and waits until it has returned.
func run(t *testing.T, h *membership.Heartbeat) func() {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = h.Run(ctx) })
	return func() { cancel(); running.Wait() }
}

// TestHeartbeat_NodesJoinLeaveAndDie_ReportsEachChangeOnce also covers a registry that is unavailable or loses its entries: neither
// counts as a change.
func TestHeartbeat_NodesJoinLeaveAndDie_ReportsEachChangeOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := newMemoryRegistry()
		never := func() bool { return false }
		a, peers, leaveA := startHeartbeat(t, registry, "a", never)
		time.Sleep(1500 * time.Millisecond)
		_, _, leaveB := startHeartbeat(t, registry, "b", never)
		time.Sleep(2 * time.Second)
		leaveB()
		time.Sleep(2 * time.Second)
		_, _ = nodeRegistry{registry, "c"}.Announce(t.Context(), membership.Node{ID: "c"}) // c crashes after one announcement
		time.Sleep(time.Minute)
		registry.Lock()
		registry.unavailable = true
		registry.Unlock()
		time.Sleep(time.Minute)
		if list := a.Nodes(); len(list) != 1 || list[0].ID != "a" {
			t.Errorf("Nodes() = %v while the registry is unavailable, want only a", list)
		}
		if list := a.Recent(); len(list) != 0 {
			t.Errorf("Recent() = %v with a list that is a minute old, want none", list)
		}
		registry.Lock()
		registry.unavailable = false
		clear(registry.entries)
		registry.Unlock()
		time.Sleep(time.Minute)
		if list := a.Recent(); len(list) != 1 || list[0].ID != "a" {
			t.Errorf("Recent() = %v after the registry came back, want only a", list)
		}
		leaveA()
		want := []string{"+[a]-[]", "+[b]-[]", "+[]-[b]", "+[c]-[]", "+[]-[c]"}
		if !slices.Equal(*peers, want) {
			t.Errorf("OnPeers calls: got %q, want %q", *peers, want)
		}
		if len(registry.entries) != 0 {
			t.Errorf("registry after the last node left: got %v, want no entries", registry.entries)
		}
	})
}

// TestHeartbeat_Await_WaitsForTheNextList: a node that joined after the last list is found, an unknown node is not, and an unavailable
// registry does not prolong the wait.
func TestHeartbeat_Await_WaitsForTheNextList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := newMemoryRegistry()
		never := func() bool { return false }
		a, _, _ := startHeartbeat(t, registry, "a", never)
		time.Sleep(1500 * time.Millisecond)
		startHeartbeat(t, registry, "b", never)
		synctest.Wait()
		if n, ok := a.Await(t.Context(), "b"); !ok || n.ID != "b" {
			t.Errorf("Await(b) after b has joined: got %v, %t, want b", n, ok)
		}
		if n, ok := a.Await(t.Context(), "c"); ok {
			t.Errorf("Await(c) of an unknown node: got %v, want none", n)
		}
		registry.Lock()
		registry.unavailable = true
		registry.Unlock()
		began := time.Now()
		if n, ok := a.Await(t.Context(), "c"); ok || time.Since(began) > 3*membership.Interval {
			t.Errorf("Await(c) while the registry is unavailable: got %v after %s, want none within %s", n, time.Since(began), 3*membership.Interval)
		}
		if _, ok := a.Await(t.Context(), "b"); !ok {
			t.Error("Await(b) while the registry is unavailable: not found, want the entry of the last list")
		}
	})
}

// TestHeartbeat_AnnounceNow_DoesNotWaitForTheInterval: load balancers must see at once that a node is draining.
func TestHeartbeat_AnnounceNow_DoesNotWaitForTheInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := newMemoryRegistry()
		draining := false
		h, _, _ := startHeartbeat(t, registry, "a", func() bool { return draining })
		synctest.Wait()
		draining = true
		began := time.Now()
		h.AnnounceNow()
		synctest.Wait()
		if elapsed := time.Since(began); !registry.entries["a"].Draining || elapsed > 0 {
			t.Errorf("after %s: got entry %+v, want draining after 0s", elapsed, registry.entries["a"])
		}
	})
}

// TestHeartbeat_TwoProcessesWithOneID_EachReportsTheOtherOnce: the entry of an earlier process with this id is not a duplicate, even if
// it is still there when the first announcement of the new process fails.
func TestHeartbeat_TwoProcessesWithOneID_EachReportsTheOtherOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		registry := newMemoryRegistry()
		_, _ = nodeRegistry{registry, "a"}.Announce(t.Context(), membership.Node{ID: "a", StartedAt: 1})
		var reports []string
		start := func(n membership.Node) (stop func()) {
			return run(t, membership.NewHeartbeat(membership.Options{
				Registry: nodeRegistry{registry, "a"}, Status: func() membership.Node { return n },
				OnDuplicateID: func(other membership.Node) { reports = append(reports, n.URL+" reports "+other.URL) },
			}))
		}
		registry.writeError = errors.New("read only") // the first announcements fail
		stopFirst := start(membership.Node{ID: "a", URL: "first", StartedAt: 2})
		time.Sleep(1500 * time.Millisecond)
		registry.Lock()
		registry.writeError = nil
		registry.Unlock()
		time.Sleep(time.Minute)
		if len(reports) > 0 {
			t.Fatalf("with one process: got reports %q, want none", reports)
		}
		stopSecond := start(membership.Node{ID: "a", URL: "second", StartedAt: 2})
		time.Sleep(time.Minute)
		stopFirst()
		stopSecond()
		slices.Sort(reports)
		if want := []string{"first reports second", "second reports first"}; !slices.Equal(reports, want) {
			t.Errorf("got reports %q, want %q", reports, want)
		}
	})
}
