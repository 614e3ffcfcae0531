package e2e

import (
	"net/http"
	"strings"
	"testing"
)

// writtenOtherwise are paths of the hub of phones that the routes of ASP.NET Core take for the same.
var writtenOtherwise = []string{"/Online-Mobile-User", "/online-mobile-user/", "/ONLINE-MOBILE-USER/"}

// TestHubPaths_OtherCaseOrTrailingSlash_ServeMessages: Microsoft's client negotiates and connects at a node and through a gateway, and
// gets its message.
func TestHubPaths_OtherCaseOrTrailingSlash_ServeMessages(t *testing.T) {
	t.Parallel()
	nodes, redisURL, _ := cluster(t, 2)
	gateway := startGateway(t, nodes[0].secrets, "--redis-url", redisURL, "--proxy-websockets")
	gateway.awaitNodes(2)
	for _, at := range []*platform{nodes[0], gateway} {
		for _, path := range writtenOtherwise {
			for _, skip := range []bool{false, true} {
				ph := newDriver(at, "phone.mjs")
				ph.do(map[string]any{
					"command": "connect", "url": at.node.URL + path, "token": at.token(alice, "a"), "ack": "each", "skipNegotiation": skip,
				})
				m := at.send(alice, "hello", "normal")
				ph.await(1)
				at.awaitStatus(m.ID, "delivered")
				ph.do(map[string]any{"command": "stop"})
			}
		}
	}
}

// TestHubPaths_OtherCaseOrTrailingSlash_ReachTheHolder: a request for a negotiated connection reaches the node that holds it.
func TestHubPaths_OtherCaseOrTrailingSlash_ReachTheHolder(t *testing.T) {
	t.Parallel()
	nodes, redisURL, _ := cluster(t, 2)
	gateway := startGateway(t, nodes[0].secrets, "--redis-url", redisURL, "--proxy-websockets")
	gateway.awaitNodes(2)
	holder := nodes[0]
	for _, way := range []*platform{holder, nodes[1], gateway} {
		for _, path := range writtenOtherwise {
			token := holder.token(alice, "a")
			var negotiated struct {
				ConnectionToken string `json:"connectionToken"`
			}
			holder.call(http.MethodPost, strings.TrimSuffix(path, "/")+"/Negotiate/?negotiateVersion=1", token, nil, &negotiated)
			if status, text := way.upgrade(path+"?id="+negotiated.ConnectionToken, token); status != http.StatusSwitchingProtocols {
				t.Errorf("upgrade of %s: got %d %s, want 101", path, status, text)
			}
		}
	}
}
