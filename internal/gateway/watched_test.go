package gateway_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar/internal/gateway"
	"github.com/esh3artech/esh3ar/internal/route"
)

// watchedNode is a node's side of the checks, in a bubble.
type watchedNode struct {
	gateway.Watched
	stopping bool
}

func newWatchedNode() *watchedNode {
	n := &watchedNode{}
	n.Now, n.Word = time.Now, func() route.Node { return route.Node{ID: "n"} }
	n.Ready = func() error {
		if n.stopping {
			return errors.New("stopping")
		}
		return nil
	}
	return n
}

// asked has a gateway of that name ask.
func (n *watchedNode) asked(name string) {
	r := httptest.NewRequest(http.MethodGet, "/readyz", http.NoBody)
	r.Header.Set(gateway.MarkHeader, name)
	n.ServeHTTP(httptest.NewRecorder(), r)
}

// TestANodeThatStopsWaitsForItsGateways: for each that asks, and for the calls that it had sent before it heard; for one that asks no
// more not for long, and for strangers' names no longer than for that.
func TestANodeThatStopsWaitsForItsGateways(t *testing.T) {
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
				n.AwaitHeard(t.Context())
				if took := time.Since(began); took != c.want {
					t.Errorf("it waits %s, want %s", took, c.want)
				}
				after.Wait()
			})
		})
	}
}
