package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// attackers open connections to a gateway that send text and read nothing.
func attackers(t *testing.T, gateway *platform, n int, text string) {
	t.Helper()
	for range n {
		conn, err := net.Dial("tcp", strings.TrimPrefix(gateway.node.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		go func() { _, _ = io.WriteString(conn, text) }() // it may block for as long as the attack lasts
	}
}

// TestGateway_Attackers_LeaveOthersAlone runs clients without a credential against a gateway with few slots. A business
// that calls at the same time is always answered.
func TestGateway_Attackers_LeaveOthersAlone(t *testing.T) {
	t.Parallel()
	const host = " HTTP/1.1\r\nHost: x\r\n"
	for name, attack := range map[string]string{
		"announced batches":    "POST /v1/messages/batch" + host + "Authorization: Bearer esk_wrong\r\nContent-Length: 200000\r\n\r\n",
		"announced, one byte":  "POST /v1/messages/batch" + host + "Authorization: Bearer esk_wrong\r\nContent-Length: 200000\r\n\r\n[",
		"chunks without end":   "POST /v1/messages/batch" + host + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
		"unfinished calls":     "POST /v1/messages" + host + "Content-Length: 100000\r\n\r\n" + strings.Repeat(" ", 99_000),
		"unfinished batches":   "POST /v1/messages/batch" + host + "Idempotency-Key: k\r\nContent-Length: 3000000\r\n\r\n" + strings.Repeat(" ", 2_200_000),
		"pages, never read":    strings.Repeat("GET /demo/phone.js"+host+"\r\n", 300),
		"slow heads":           "POST /v1/messages HTTP/1.1\r\nHost:",
		"negotiations":         strings.Repeat("POST /online-mobile-user/negotiate"+host+"Content-Length: 0\r\n\r\n", 300),
		"floods of HEAD":       strings.Repeat("HEAD /v1/messages"+host+"\r\n", 300),
		"floods of OPTIONS":    strings.Repeat("OPTIONS /v1/messages"+host+"\r\n", 300),
		"streams without keys": strings.Repeat("GET /v1/events"+host+"\r\n", 50),
		"polls of nobody":      strings.Repeat("GET /online-mobile-user?id=gone.x"+host+"\r\n", 50),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			node := start(t)
			gateway := startGateway(t, node.secrets, "--nodes", node.node.URL, "--connections", "16", "--waiting", "64")
			gateway.awaitNodes(1)
			gateway.send(alice, "before", "normal") // the gateway knows the key
			attackers(t, gateway, 100, attack)
			c := callers{t: t, gateway: gateway, size: 4}
			c.run(func(n int64) bool { return n > 200 })
			c.noneFailed("beside " + name)
			if got := gateway.metricOr("esh3ar_gateway_panics_total", -1); got != 0 {
				t.Errorf("%g panics, want 0", got)
			}
		})
	}
}

// TestGateway_HalfClosedCaller_IsAnswered: nc -N ends its side after the request, and waits for the answer of a real node.
func TestGateway_HalfClosedCaller_IsAnswered(t *testing.T) {
	t.Parallel()
	node := start(t)
	gateway := startGateway(t, node.secrets, "--nodes", node.node.URL)
	gateway.awaitNodes(1)
	one := fmt.Sprintf(`{"recipientPhoneNumber":%q,"messageContent":"x"}`, alice)
	for path, body := range map[string]string{
		"/v1/messages":       one,
		"/v1/messages/batch": `{"messages":[` + strings.Repeat(one+",", 900) + one + `]}`,
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(gateway.node.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s",
			path, gateway.secrets.APIKey, len(body), body)
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil { //nolint:forcetypeassert // as Dial gives it
			t.Fatal(err)
		}
		if got, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 202") {
			t.Errorf("%s: got %.200q %v, want 202", path, got, err)
		}
	}
}

// TestGateway_RoutesForOperators_AreRefused unless they were asked for.
func TestGateway_RoutesForOperators_AreRefused(t *testing.T) {
	t.Parallel()
	node := start(t)
	gateway := gatewayOf(t, node.secrets, "", []string{"--nodes", node.node.URL})
	gateway.awaitNodes(1)
	for _, path := range []string{"/admin/v1/nodes", "//admin/v1/nodes", "/%61dmin/v1/nodes"} {
		status, _, text := gateway.ask(http.MethodGet, path, "", map[string]string{"Authorization": "Bearer " + node.secrets.AdminToken})
		if status != http.StatusForbidden || !strings.Contains(text, "--forward-admin") {
			t.Errorf("%s: got %d %s, want 403", path, status, text)
		}
	}
}

// TestNode_StrayWithoutCredential_GoesNowhere: a made-up token that names another node costs that node nothing. It is stopped here, and would
// not answer.
func TestNode_StrayWithoutCredential_GoesNowhere(t *testing.T) {
	t.Parallel()
	nodes, _, _ := cluster(t, 2)
	here, there := nodes[0], nodes[1]
	eventually(t, func() bool { return strings.Contains(here.node.Stderr.String(), there.nodeID()) }, func() string { return "the nodes do not know each other" })
	if err := there.node.Pause(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = there.node.Resume() }() // the test may have ended it
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		for _, hub := range []string{"/online-mobile-user", "/business-user"} {
			for _, token := range []string{"Basic none", "Bearer made-up"} {
				status, _, text := here.ask(method, hub+"?id="+there.nodeID()+".made-up", "", map[string]string{"Authorization": token})
				if status != http.StatusUnauthorized {
					t.Errorf("%s %s with %q: got %d %s, want 401", method, hub, token, status, text)
				}
			}
		}
	}
}

// TestNode_Readyz_TellsStrangersOnlyWhetherItIsReady, whatever they call themselves.
func TestNode_Readyz_TellsStrangersOnlyWhetherItIsReady(t *testing.T) {
	t.Parallel()
	const secret = "a-secret-of-16-bytes-or-more"
	node := start(t, "--gateway-secret", secret)
	for _, headers := range []map[string]string{
		{}, {"X-Esh3ar-Gateway": "me"}, {"X-Esh3ar-Gateway": "me", "X-Esh3ar-Gateway-Proof": "guess"}, {"X-Esh3ar-Gateway-Proof": "guess"},
	} {
		if status, _, text := node.ask(http.MethodGet, "/readyz", "", headers); status != http.StatusOK || strings.Contains(text, "load") || strings.Contains(text, "url") {
			t.Errorf("%v: got %d %s, want nothing about the node", headers, status, text)
		}
	}
	if _, _, text := node.ask(http.MethodGet, "/readyz", "", map[string]string{"X-Esh3ar-Gateway": "me", "X-Esh3ar-Gateway-Proof": secret}); !strings.Contains(text, `"load"`) {
		t.Errorf("with the secret: got %s, want the load", text)
	}
	gateway := startGateway(t, node.secrets, "--nodes", node.node.URL, "--gateway-secret", secret)
	gateway.awaitNodes(1)
	gateway.send(alice, "x", "normal")
}
