package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
)

// connections is how many phones each node counts.
func connections(nodes []*platform) (counts []float64) {
	for _, p := range nodes {
		counts = append(counts, p.metric("esh3ar_sessions"))
	}
	return counts
}

// TestNode_TooManyConnections_MovesPhones connects eight phones of Microsoft's client to a node with a limit of four; it
// moves the surplus to another node. Then an operator drains it, and the other phones move as well. Unacknowledged
// messages arrive through the new node, and none is lost.
func TestNode_TooManyConnections_MovesPhones(t *testing.T) {
	t.Parallel()
	f := newFleet(t, 1, "--database-url", database(t).URL("postgres"), "--redis-url", redisServer(t).URL(), "--capacity-connections", "4")
	small := f.nodes[0]
	small.flags[len(small.flags)-1] = "1000"
	large := small.join()
	nodes := []*platform{small, large}
	var phones []*phone
	var sent []message
	for i := range 8 {
		number := fmt.Sprint("+96777600000", i)
		phones = append(phones, newPhone(small, number, "a", "none"))
		sent = append(sent, large.send(number, "waits", "normal"))
		phones[i].await(1)
	}
	eventually(t, func() bool { return connections(nodes)[1] >= 4 }, func() string {
		return fmt.Sprintf("phones stay where they are too many: %v\n%s", connections(nodes), small.node.Stderr)
	})
	var answer struct {
		Draining bool `json:"draining"`
	}
	var list struct {
		Items []struct {
			ID, URL  string
			Draining bool
		} `json:"items"`
	}
	large.call(http.MethodGet, "/admin/v1/nodes", large.secrets.AdminToken, nil, &list)
	for _, n := range list.Items {
		if n.URL == small.node.URL {
			large.call(http.MethodPost, "/admin/v1/nodes/"+n.ID+"/drain", large.secrets.AdminToken, nil, &answer) // asked of the other node
		}
	}
	if !answer.Draining {
		t.Fatalf("the node is not in the list: %+v", list)
	}
	eventually(t, func() bool { return slices.Equal(connections(nodes), []float64{0, 8}) }, func() string {
		return fmt.Sprintf("a node that drains keeps its phones: %v\n%s", connections(nodes), small.node.Stderr)
	})
	for i, ph := range phones {
		ph.await(2) // again, through the new node
		if last := ph.got[len(ph.got)-1]; last.ID != sent[i].ID {
			t.Errorf("phone %d got %v", i, last)
		}
		for _, b := range ph.backs {
			if b.Tries != 1 {
				t.Errorf("phone %d had to try %d times to come back: %s", i, b.Tries, b.Text)
			}
		}
		ph.invoke("AcknowledgeMessage", sent[i].ID)
		large.awaitStatus(sent[i].ID, "delivered")
	}
	small.awaitLine("phones are handed over")
	if err := small.node.Stop(); err != nil {
		t.Error(err)
	}
}
