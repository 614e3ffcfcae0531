package e2e

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/esh3artech/esh3ar/internal/testkit/nodeproc"
	"github.com/esh3artech/esh3ar/internal/testkit/redisproc"
)

// redisPassword stands for PASSWORD in the files that are tested.
const redisPassword = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"

// documentedRedis returns the flags of a server with the redis.conf of docs/cluster.md: the same lines, with the port, files
// and password of the test.
func documentedRedis(t *testing.T, port string) []string {
	t.Helper()
	page := readFile(t, "../docs/cluster.md")
	_, block, found := strings.Cut(page, "```\n# redis.conf\n")
	if !found {
		t.Fatal("docs/cluster.md has no redis.conf")
	}
	block, _, _ = strings.Cut(block, "```")
	c := newCertificate(t)
	t.Setenv("SSL_CERT_FILE", c.cert) // of the nodes, as the page says
	given := map[string]string{"tls-port": port, "tls-cert-file": c.cert, "tls-key-file": c.key}
	var conf strings.Builder
	for line := range strings.Lines(block) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "port" || strings.HasPrefix(value, "default ") {
			continue // the test itself uses the plain port and the default user
		}
		if own, ok := given[name]; ok {
			value = own
			delete(given, name)
		}
		conf.WriteString(name + " " + strings.Replace(value, ">PASSWORD ", ">"+redisPassword+" ", 1) + "\n")
	}
	if len(given) > 0 {
		t.Fatalf("the redis.conf of docs/cluster.md does not set %v", given)
	}
	path := filepath.Join(t.TempDir(), "redis.conf")
	if err := os.WriteFile(path, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--include", path}
}

// composedRedis returns the flags of the server in deploy/compose.yaml, all but those of the default user, which the test needs.
func composedRedis(t *testing.T) []string {
	t.Helper()
	var file struct {
		Services map[string]struct {
			Command any `yaml:"command"`
		} `yaml:"services"`
	}
	if err := yaml.Unmarshal([]byte(readFile(t, "../deploy/compose.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	words, _ := file.Services["redis"].Command.([]any)
	var flags []string
	for _, word := range words {
		text, ok := word.(string)
		if !ok {
			t.Fatalf("deploy/compose.yaml: %v in the command of redis is no string", word)
		}
		flags = append(flags, variable.ReplaceAllLiteralString(text, redisPassword))
	}
	from := slices.Index(flags, "default")
	if from < 1 || flags[0] != "redis-server" {
		t.Fatalf("deploy/compose.yaml: redis is %q, want redis-server with the default user off", flags)
	}
	return slices.Delete(flags, from-1, from+2)[1:]
}

// variable is one of the environment, as compose reads it.
var variable = regexp.MustCompile(`\$\{[^}]*\}`)

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestRedis_DocumentedUser_SufficesForACluster has two nodes and a gateway on a Redis with the user that the documentation
// prints, and with TLS where it does. Redis logs each command, key and channel that the user may not use.
func TestRedis_DocumentedUser_SufficesForACluster(t *testing.T) {
	for name, server := range map[string]func(t *testing.T) (url string, flags []string){
		"docs/cluster.md, TLS": func(t *testing.T) (string, []string) {
			t.Helper()
			listen, err := nodeproc.FreePort()
			if err != nil {
				t.Fatal(err)
			}
			port := listen[strings.LastIndexByte(listen, ':')+1:]
			return "rediss://esh3ar:" + redisPassword + "@127.0.0.1:" + port, documentedRedis(t, port)
		},
		"deploy/compose.yaml": func(t *testing.T) (string, []string) { t.Helper(); return "", composedRedis(t) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			url, flags := server(t)
			redis, err := redisproc.StartSingle(ctx, t.TempDir(), flags...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = redis.Kill() })
			if url == "" {
				url = "redis://esh3ar:" + redisPassword + "@" + redis.Addr
			}
			useClusterOn(t, url)
			denied, err := redis.Do(ctx, "ACL", "LOG")
			if err != nil {
				t.Fatal(err)
			}
			if entries, ok := denied.([]any); !ok || len(entries) > 0 {
				t.Errorf("Redis refused: %v", denied)
			}
		})
	}
}

// useClusterOn uses all that nodes use Redis for.
func useClusterOn(t *testing.T, url string) {
	t.Helper()
	p := newPair(t, database(t).URL("postgres"), url)
	p.hinted() // presence and hints
	gateway := startGateway(t, p.a.secrets, "--redis-url", url)
	calls := 0
	eventually(t, func() bool { // the registry: calls go to both nodes
		calls++
		gateway.offer(alice, "through the gateway", "gateway-"+strconv.Itoa(calls))
		return p.a.accepted() > 0 && p.b.accepted() > 0
	}, func() string { return "the gateway does not use both nodes: " + gateway.node.Stderr.String() })
	for _, node := range []*platform{p.a, p.b} {
		if log := node.node.Stderr.String(); strings.Contains(log, "NOPERM") || strings.Contains(log, "NOAUTH") {
			t.Errorf("Redis refused a node: %s", log)
		}
	}
}
