package gateway_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/gateway"
)

// watchedNode is a ReadinessProbe in a synctest bubble.
type watchedNode struct {
	gateway.ReadinessProbe
	stopping bool
}

func newWatchedNode() *watchedNode {
	n := &watchedNode{}
	n.Now, n.Status = time.Now, func() membership.Node { return membership.Node{ID: "n"} }
	n.Ready = func() error {
		if n.stopping {
			return errors.New("stopping")
		}
		return nil
	}
	return n
}

// asked sends a check of the gateway with this name.
func (n *watchedNode) asked(name string) {
	r := httptest.NewRequest(http.MethodGet, "/readyz", http.NoBody)
	r.Header.Set(gateway.MarkHeader, name)
	n.ServeHTTP(httptest.NewRecorder(), r)
}

// TestReadinessProbe_ShuttingDown_WaitsForGateways checks that a node waits for each active gateway and its last calls, and only
// for a bounded time for gateways that have stopped and for unknown names.
func TestReadinessProbe_ShuttingDown_WaitsForGateways(t *testing.T) {
	t.Parallel()
	const underWay, watchedFor = 200 * time.Millisecond, 3 * time.Second
	for name, c := range map[string]struct {
		before func(n *watchedNode)
		after  func(n *watchedNode) // while it waits
		want   time.Duration
	}{
		"none": {func(*watchedNode) {}, func(*watchedNode) {}, 0},
		"two": {
			func(n *watchedNode) { n.asked("a"); n.asked("b") },
			func(n *watchedNode) { time.Sleep(time.Second); n.asked("a"); time.Sleep(time.Second); n.asked("b") },
			2*time.Second + underWay,
		},
		"one that died":          {func(n *watchedNode) { n.asked("a") }, func(*watchedNode) {}, watchedFor},
		"one that died long ago": {func(n *watchedNode) { n.asked("a"); time.Sleep(watchedFor + 1) }, func(*watchedNode) {}, 0},
		"one in a crowd of strangers": {
			func(n *watchedNode) {
				n.asked("a")
				for i := range 100 {
					n.asked(fmt.Sprint("stranger ", i))
				}
				time.Sleep(2 * time.Second)
				n.asked("a")
				time.Sleep(2 * time.Second) // the strangers are forgotten
			},
			func(n *watchedNode) { time.Sleep(500 * time.Millisecond); n.asked("a") },
			500*time.Millisecond + underWay,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newWatchedNode()
				c.before(n)
				n.stopping = true
				began := time.Now()
				var after sync.WaitGroup
				after.Go(func() { c.after(n) })
				n.WaitUntilObserved(t.Context())
				if took := time.Since(began); took != c.want {
					t.Errorf("it waits %s, want %s", took, c.want)
				}
				after.Wait()
			})
		})
	}
}

// TestReadinessProbe_NoProof_GetsReadinessOnly checks that status and reason are returned only to gateways with a proof.
func TestReadinessProbe_NoProof_GetsReadinessOnly(t *testing.T) {
	t.Parallel()
	n := newWatchedNode()
	n.Status = func() membership.Node {
		return membership.Node{ID: "n", URL: "http://inside", Load: 0.5, Connections: 77, Proof: "the proof"}
	}
	n.Proofs = []string{"the proof", ""}
	for _, stopping := range []bool{false, true} {
		n.stopping = stopping
		for _, shown := range []string{"", "the proo", "the proof ", "another"} {
			if got := n.shown(shown); strings.Contains(got, "inside") || strings.Contains(got, "77") || strings.Contains(got, "stopping") || strings.Contains(got, "the proof") || !strings.Contains(got, `"id":"n"`) {
				t.Errorf("shown %q, it says %s", shown, got)
			}
		}
		if got := n.shown("the proof"); !strings.Contains(got, "http://inside") || !strings.Contains(got, "77") || strings.Contains(got, "the proof") || stopping != strings.Contains(got, "stopping") {
			t.Errorf("shown the proof, it says %s", got)
		}
	}
}

// shown returns the answer to a check with this proof.
func (n *watchedNode) shown(proof string) string {
	r := httptest.NewRequest(http.MethodGet, "/readyz", http.NoBody)
	r.Header.Set(gateway.MarkHeader, "g")
	r.Header.Set(gateway.ProofHeader, proof)
	w := httptest.NewRecorder()
	n.ServeHTTP(w, r)
	return w.Body.String()
}

// TestGateway_Proof_IsSentToItsNodeOnly also checks that redirects are not followed.
func TestGateway_Proof_IsSentToItsNodeOnly(t *testing.T) {
	t.Parallel()
	var stolen atomic.Int64
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get(gateway.ProofHeader) != "" {
			stolen.Add(1)
		}
	}))
	defer thief.Close()
	asked := make(chan string, 100)
	odd := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- r.Header.Get(gateway.ProofHeader):
		default:
		}
		http.Redirect(w, r, thief.URL, http.StatusTemporaryRedirect)
	}))
	defer odd.Close()
	var list registry
	list.nodes = []membership.Node{{ID: "odd", URL: odd.URL, Proof: "of odd"}}
	newFront(t, func(o *gateway.Options) { o.Registry = &list })
	for range 3 {
		if got := <-asked; got != "of odd" {
			t.Errorf("it is shown %q, want its own proof", got)
		}
	}
	if stolen.Load() != 0 {
		t.Error("a proof followed a redirect")
	}
}
