package e2e

import (
	"net/http"
	"testing"
)

// TestRevocation_DeviceToken_EndsItsConnectionsOnAllNodes revokes a device at one node: its connections end there and on another node,
// another device of the same phone goes on, and the token opens nothing any more. Nodes learn of it from the database alone, and from
// Redis when they share one.
func TestRevocation_DeviceToken_EndsItsConnectionsOnAllNodes(t *testing.T) {
	t.Parallel()
	for name, flags := range map[string]func(t *testing.T) []string{
		"database alone": func(*testing.T) []string { return nil },
		"with Redis":     func(t *testing.T) []string { t.Helper(); return []string{"--redis-url", redisServer(t).URL()} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t, append(flags(t), "--database-url", database(t).URL("postgres"))...)
			b := a.join()
			here, there, other := newPhone(b, alice, "stolen", "each"), newPhone(a, alice, "stolen", "each"), newPhone(a, alice, "mine", "each")
			old := a.token(alice, "stolen")
			admin := map[string]string{"Authorization": "Bearer " + b.secrets.AdminToken}
			if code, _, answer := b.ask(http.MethodDelete, "/admin/v1/phones/"+alice+"/devices/stolen", "", admin); code != http.StatusNoContent {
				t.Fatalf("the revocation: %d %s", code, answer)
			}
			here.awaitState("closed")
			there.awaitState("closed")
			awaitAll(other, []string{a.send(alice, "after", "normal").ID})
			for _, node := range []*platform{a, b} {
				eventually(t, func() bool {
					code, _, _ := node.ask(http.MethodPost, "/online-mobile-user/negotiate?negotiateVersion=1", "", map[string]string{"Authorization": "Bearer " + old})
					return code == http.StatusUnauthorized
				}, func() string { return "a revoked token is good at " + node.node.URL })
			}
		})
	}
}
