package torture

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar/internal/testkit/faultproxy"
)

// TestEnvironment_SeveredLink_AffectsOneNodeOnly also checks that no server announces an address that bypasses the
// links.
func TestEnvironment_SeveredLink_AffectsOneNodeOnly(t *testing.T) {
	if testing.Short() {
		t.Skip("starts PostgreSQL and a Redis Cluster")
	}
	g, err := newEnvironment(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := g.end(); err != nil {
			t.Error(err)
		}
	}()
	ways := map[int][]string{} // of each node, PostgreSQL first
	for number := 1; number <= 2; number++ {
		flags, err := g.connectNode(number)
		if err != nil || len(flags) != 4 {
			t.Fatalf("%v %v", flags, err)
		}
		database, err := url.Parse(flags[1])
		if err != nil {
			t.Fatal(err)
		}
		ways[number] = append([]string{database.Host}, strings.Split(flags[3], ",")...)
	}
	for i, l := range g.links[:len(ways[1])] { // those of node 1
		for _, number := range []int{1, 2} {
			if !open(ways[number][i]) {
				t.Errorf("dial %s: got an error, want a connection", ways[number][i])
			}
		}
		cut := faultproxy.Fault{Kind: faultproxy.Severed}
		if err := l.Inject(cut); err != nil {
			t.Fatal(err)
		}
		if open(ways[1][i]) || !open(ways[2][i]) {
			t.Errorf("%s severed: node 1 connects: got %t, want false; node 2 connects: got %t, want true", l.Name(), open(ways[1][i]), open(ways[2][i]))
		}
		if err := l.Clear(t.Context(), cut); err != nil {
			t.Fatal(err)
		}
	}
	slots, err := g.redis.Masters[0].Do(t.Context(), "CLUSTER", "SLOTS")
	if err != nil || !strings.Contains(fmt.Sprint(slots), "[<nil> ") || strings.Contains(fmt.Sprint(slots), "[127.0.0.1 ") {
		t.Errorf("CLUSTER SLOTS: got %v, %v, want no addresses", slots, err)
	}
}

func open(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
