package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
)

// proxies are the recipes of docs/tls.md: how each server is run with its file, and what of the recipe is another here than at a site.
// Each replacement must be in the recipe.
var proxies = map[string]struct {
	command func(dir, config string) []string
	replace func(listen, node string, c certificate) []string // pairs
	around  string                                            // what the recipe leaves to the site's file; %s is the recipe
}{
	"nginx": {
		command: func(dir, config string) []string {
			return []string{"nginx", "-p", dir, "-c", config, "-e", "stderr", "-g", "daemon off; user root root;"} // the user is for a master that is root; else nginx warns
		},
		replace: func(listen, node string, c certificate) []string {
			return []string{"listen 443 ssl", "listen " + listen + " ssl", "127.0.0.1:8080", node, "/etc/esh3ar/cert.pem", c.cert, "/etc/esh3ar/key.pem", c.key}
		},
		around: "pid nginx.pid;\nevents {}\nhttp {\naccess_log off;\nclient_body_temp_path body;\nproxy_temp_path proxy;\nfastcgi_temp_path fastcgi;\nuwsgi_temp_path uwsgi;\nscgi_temp_path scgi;\n%s}\n",
	},
	"haproxy": {
		command: func(_, config string) []string { return []string{"haproxy", "-db", "-f", config} },
		replace: func(listen, node string, c certificate) []string {
			return []string{"bind :443", "bind " + listen, "127.0.0.1:8080", node, "/etc/esh3ar/cert-and-key.pem", c.cert + "-and-key"}
		},
		around: "%s",
	},
	"caddy": {
		command: func(_, config string) []string {
			return []string{"caddy", "run", "--adapter", "caddyfile", "--config", config}
		},
		replace: func(listen, node string, c certificate) []string {
			return []string{"messages.example.com {", "https://" + listen + " {\n  tls " + c.cert + " " + c.key, "127.0.0.1:8080", node}
		},
		around: "{\n  admin off\n  auto_https disable_redirects\n  skip_install_trust\n}\n%s",
	},
}

// recipe is the block of that language in docs/tls.md.
func recipe(t *testing.T, language string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/tls.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(text), "\n```"+language+"\n")
	block, _, closed := strings.Cut(block, "```")
	if !found || !closed {
		t.Fatalf("docs/tls.md has no block of %s", language)
	}
	return block
}

// startProxy runs the real server with the recipe of the docs before a node, and returns its address.
func startProxy(t *testing.T, name, listen, node string, c certificate) {
	t.Helper()
	proxy, dir := proxies[name], t.TempDir()
	text := recipe(t, name)
	pairs := proxy.replace(listen, node, c)
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("the recipe has no %q:\n%s", pairs[i], text)
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	cert, err := os.ReadFile(c.cert)
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(c.key)
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, name+".conf")
	if err := errors.Join(os.WriteFile(config, fmt.Appendf(nil, proxy.around, text), 0o600),
		os.WriteFile(c.cert+"-and-key", append(cert, key...), 0o600)); err != nil {
		t.Fatal(err)
	}
	runProxy(t, dir, listen, proxy.command(dir, config))
}

// runProxy runs a server until the test ends, and waits until it listens.
func runProxy(t *testing.T, dir, listen string, args []string) {
	t.Helper()
	program, err := exec.LookPath(args[0])
	if err != nil {
		program = "/usr/sbin/" + args[0] // where Debian keeps servers, and users' paths do not lead
	}
	cmd := exec.Command(program, args[1:]...)
	output := &nodeproc.Output{}
	cmd.Dir = dir
	cmd.Stdout = output
	cmd.Stderr = output
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s is not installed; run `make deps`: %v", args[0], err)
	}
	ended := make(chan struct{})
	go func() { // ends with the process
		_ = cmd.Wait() // it is ended by a signal
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-ended
		if t.Failed() {
			t.Logf("%s: %s", args[0], output)
		}
	})
	eventually(t, func() bool {
		select {
		case <-ended:
			t.Fatalf("%s ended: %s", args[0], output)
		default:
		}
		conn, err := net.Dial("tcp", listen)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, func() string { return args[0] + " does not listen: " + output.String() })
}

// TestProxies_RecipesOfTheDocs_CarryAll runs each recipe of docs/tls.md with the real server: a REST call, a body of the largest kind, an
// event stream, and Microsoft's client over all transports pass through it.
func TestProxies_RecipesOfTheDocs_CarryAll(t *testing.T) {
	c := newCertificate(t)
	t.Setenv("NODE_EXTRA_CA_CERTS", c.cert)
	client := c.client(t)
	for name := range proxies {
		t.Run(name, func(t *testing.T) {
			listen, err := nodeproc.FreePort()
			if err != nil {
				t.Fatal(err)
			}
			p := start(t, "--advertise-url", "https://"+listen)
			startProxy(t, name, listen, strings.TrimPrefix(p.node.URL, "http://"), c)
			inside := *p.node
			defer func(before *http.Client) { http.DefaultClient, p.node.URL = before, inside.URL }(http.DefaultClient)
			http.DefaultClient, p.node.URL = client, "https://"+listen // of the helpers; this test is not parallel
			through(p, client)
		})
	}
}

// through uses the platform in all its ways.
func through(p *platform, client *http.Client) {
	p.t.Helper()
	stream := openStream(p, client)
	messages := make([]map[string]string, 1000)
	for i := range messages {
		messages[i] = map[string]string{"recipientPhoneNumber": fmt.Sprintf("+9677%08d", i), "messageContent": strings.Repeat("x", 4000)}
	}
	p.call(http.MethodPost, "/v1/messages/batch", p.secrets.APIKey, map[string]any{"messages": messages}, &struct{}{})
	for _, transport := range []string{"WebSockets", "ServerSentEvents", "LongPolling"} {
		ph := newDriver(p, "phone.mjs")
		ph.do(map[string]any{
			"command": "connect", "url": p.node.URL + "/online-mobile-user", "token": p.token(alice, transport), "ack": "each", "transport": transport,
		})
		sent := p.send(alice, transport, "normal")
		ph.await(1)
		p.awaitStatus(sent.ID, "delivered")
		for line := ""; !strings.Contains(line, sent.ID); {
			line = stream()
		}
		business := newDriver(p, "business.mjs")
		business.do(map[string]any{"command": "connect", "url": p.node.URL + "/business-user", "token": p.secrets.APIKey, "transport": transport})
		ph.do(map[string]any{"command": "stop"})
	}
}

// openStream opens an event stream; each call of next returns a line of it.
func openStream(p *platform, client *http.Client) (next func() string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.node.URL+"/v1/events", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.secrets.APIKey)
	resp, err := client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = resp.Body.Close() }) // the test has what it wants
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	return func() string {
		p.t.Helper()
		if !lines.Scan() {
			p.t.Fatalf("the event stream ended: %v", lines.Err())
		}
		return string(bytes.Clone(lines.Bytes()))
	}
}
