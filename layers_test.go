package esh3ar_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/esh3artech/esh3ar"

// layers lists which packages of this module each package may import; "" is the root and "*" is any package. Imports point downwards
// only: an edge imports the engine that it drives, an engine never imports an edge, and only node and cmd know concrete types.
var layers = map[string][]string{
	"":                              {},
	"cmd/esh3ar":                    {"*"},
	"e2e":                           {"signalr/browser", "internal/testkit/faultproxy", "internal/testkit/nodeproc", "internal/testkit/pgproc", "internal/signalrclient", "internal/faultinject", "internal/testkit/redisproc"},
	"e2e/hostile":                   {"internal/testkit/attack", "internal/testkit/nodeproc", "internal/testkit/pgproc", "internal/signalrclient", "internal/testkit/redisproc"},
	"internal/auth":                 {"", "internal/cache", "internal/runtime/connlimit", "internal/flow", "internal/cluster/keyring"},
	"internal/auth/credential":      {},
	"internal/autoscale":            {"", "internal/duration", "internal/cluster/membership"},
	"internal/autoscale/command":    {"internal/autoscale"},
	"internal/autoscale/kubernetes": {"internal/cluster/membership", "internal/autoscale"},
	"internal/autoscale/processes":  {"internal/flow", "internal/cluster/membership", "internal/autoscale"},
	"internal/bench":                {"", "internal/bench/rounds", "internal/testkit/nodeproc", "internal/testkit/pgproc", "internal/signalrclient", "internal/testkit/redisproc"},
	"internal/bench/page":           {"internal/bench", "internal/bench/rounds"},
	"internal/bench/rounds":         {},
	"internal/breaker":              {""},
	"internal/buildinfo":            {},
	"internal/cache":                {},
	"internal/clarity":              {},
	"internal/clarity/claritylint":  {"internal/clarity"},
	"internal/cluster/backplane":    {"internal/cluster/membership", "internal/store/codec", "signalr"},
	"internal/cluster/keyring":      {""},
	"internal/cluster/membership":   {"", "internal/flow"},
	"internal/cluster/presence":     {"", "internal/store/codec", "internal/cluster/membership", "internal/cache", "internal/flow", "internal/faultinject"},
	"internal/cluster/rebalance":    {"", "internal/flow", "internal/cluster/membership"},
	"internal/cluster/redis":        {"", "internal/cluster/keyring", "internal/faultinject", "internal/cluster/membership", "internal/cluster/presence"},
	"internal/crashfs":              {},
	"internal/delivery":             {"", "internal/flow", "internal/faultinject", "internal/cluster/presence", "internal/runtime/workerpool", "internal/fairshare"},
	"internal/duration":             {},
	"internal/eventfeed":            {"", "internal/faultinject", "internal/fairshare"},
	"internal/fairshare":            {},
	"internal/faultinject":          {},
	"internal/flow":                 {},
	"internal/gateway":              {"", "internal/requestid", "internal/gateway/upstream", "internal/gateway/balance", "internal/flow", "internal/runtime/drain", "internal/cluster/membership", "internal/fairshare", "internal/runtime/connlimit"},
	"internal/gateway/balance":      {"", "internal/flow", "internal/cluster/membership"},
	"internal/gateway/upstream":     {},
	"internal/httpapi":              {"", "internal/requestid", "internal/auth", "internal/auth/credential", "internal/phonenumber", "internal/ingest", "internal/flow", "internal/eventfeed", "internal/ratelimit", "internal/wire", "internal/fairshare", "internal/runtime/connlimit", "internal/opaque"},
	"internal/hub":                  {"", "internal/auth", "internal/auth/credential", "internal/delivery", "internal/eventfeed", "internal/wire", "signalr", "internal/fairshare", "internal/runtime/connlimit", "internal/opaque"},
	"internal/hub/demo":             {"", "signalr/browser"},
	"internal/ingest":               {"", "internal/ingest/admission", "internal/faultinject"},
	"internal/ingest/admission":     {"", "internal/flow"},
	"internal/ingest/spill":         {"", "internal/store/diskguard", "internal/runtime/drain", "internal/faultinject", "internal/store/codec"},
	"internal/node":                 {"*"},
	"internal/opaque":               {""},
	"internal/phonenumber":          {""},
	"internal/ratelimit":            {"", "internal/flow"},
	"internal/requestid":            {},
	"internal/retention":            {""},
	"internal/runtime/certfile":     {},
	"internal/runtime/connlimit":    {},
	"internal/runtime/drain":        {},
	"internal/runtime/httpfast":     {"internal/runtime/drain"},
	"internal/runtime/netpoll":      {"internal/runtime/sysload"},
	"internal/runtime/panics":       {},
	"internal/runtime/sysload":      {},
	"internal/runtime/workerpool":   {},
	"internal/signalrclient":        {""},
	"internal/store/codec":          {""},
	"internal/store/diskguard":      {""},
	"internal/store/embedded":       {"", "internal/store/diskguard", "internal/faultinject", "internal/store/codec", "internal/store/lifecycle", "internal/store/transfer"},
	"internal/store/lifecycle":      {"", "internal/store/codec"},
	"internal/store/postgres":       {"", "internal/faultinject", "internal/autoscale", "internal/store/lifecycle", "internal/store/transfer"},
	"internal/store/storetest":      {""},
	"internal/store/transfer":       {"", "internal/store/lifecycle"},
	"internal/testkit/attack":       {},
	"internal/testkit/clustersim":   {"", "internal/cluster/membership", "internal/cluster/presence"},
	"internal/testkit/faultproxy":   {},
	"internal/testkit/nodeproc":     {},
	"internal/testkit/pgproc":       {"internal/testkit/nodeproc"},
	"internal/testkit/redisproc":    {"internal/testkit/nodeproc"},
	"internal/torture":              {"internal/testkit/faultproxy", "internal/testkit/nodeproc", "internal/testkit/pgproc", "internal/signalrclient", "internal/testkit/redisproc", "internal/torture/checker"},
	"internal/torture/checker":      {""},
	"internal/usage":                {},
	"internal/wire":                 {""},
	"signalr":                       {},
	"signalr/browser":               {},
	"signalr/conformance":           {},
	"signalr/conformance/table":     {"signalr/conformance"},
	"signalr/examples/backplane":    {"signalr"},
	"signalr/examples/chat":         {"signalr", "signalr/browser"},
	"signalr/signalrtest":           {"signalr"},
}

// testLayers lists what the tests of a package may import in addition, so that they run against the real store.
var testLayers = map[string][]string{
	"internal/auth":              {"internal/store/embedded"},
	"internal/cache":             {"internal/breaker", "internal/cluster/keyring", "internal/cluster/redis", "internal/testkit/redisproc"},
	"internal/cluster/backplane": {"internal/cluster/keyring", "internal/cluster/redis", "internal/testkit/redisproc"},
	"internal/cluster/presence":  {"internal/testkit/clustersim"},
	"internal/cluster/redis":     {"internal/flow", "internal/testkit/redisproc"},
	"internal/delivery":          {"internal/cluster/membership", "internal/testkit/clustersim", "internal/store/embedded"},
	"internal/gateway":           {"signalr"},
	"internal/httpapi":           {"internal/ingest/spill", "internal/store/embedded"},
	"internal/hub":               {"internal/signalrclient", "internal/store/embedded"},
	"internal/ingest":            {"internal/ingest/spill"},
	"internal/ingest/spill":      {"internal/store/embedded", "internal/crashfs"},
	"internal/store/transfer":    {"internal/store/embedded", "internal/store/postgres", "internal/testkit/pgproc"},
	"internal/runtime/connlimit": {"internal/runtime/httpfast", "internal/runtime/netpoll", "signalr"},
	"internal/runtime/httpfast":  {"internal/runtime/netpoll"},
	"internal/store/embedded":    {"internal/crashfs", "internal/store/storetest"},
	"internal/store/postgres":    {"internal/testkit/pgproc", "internal/store/storetest"},
	"signalr/conformance":        {"signalr"},
	"signalr/examples/backplane": {"signalr/signalrtest"},
}

// testKit is the folder of packages that only tests and the instruments bench and torture may import.
const testKit = "internal/testkit/"

// instruments are the packages of the product binary that may import the test kit.
var instruments = []string{"internal/bench", "internal/torture"}

// importers lists the packages that may import a foreign module, by prefix of its path. The root imports uuid only.
var importers = map[string][]string{
	"github.com/cockroachdb/pebble":          {"internal/store/diskguard", "internal/ingest", "internal/ingest/spill", "internal/store/embedded", "internal/crashfs", "cmd/esh3ar", "internal/node"},
	"github.com/jackc/pgx":                   {"internal/store/postgres"},
	"github.com/pressly/goose":               {"internal/store/postgres"},
	"github.com/redis/rueidis":               {"internal/cluster/redis"},
	"github.com/maypok86/otter":              {"internal/cache"},
	"github.com/prometheus":                  {"cmd/esh3ar", "internal/node", "e2e"},
	"github.com/alecthomas/kong":             {"cmd/esh3ar", "internal/node"},
	"go.yaml.in/yaml":                        {"internal/autoscale", "cmd/esh3ar", "e2e"},
	"github.com/nyaruka/phonenumbers":        {"internal/phonenumber"},
	"github.com/golang-jwt":                  {"internal/auth", "signalr", "internal/bench"},
	"github.com/HdrHistogram":                {"internal/bench"},
	"github.com/failsafe-go/failsafe-go":     {"internal/breaker"},
	"github.com/google/uuid":                 {"", "cmd/esh3ar", "internal/node", "internal/testkit/attack"},
	"golang.org/x/sync":                      {"*"},
	"golang.org/x/sys":                       {"signalr", "internal/bench"},
	"golang.org/x/tools":                     {"internal/clarity", "internal/clarity/claritylint"},
	"go.uber.org/goleak":                     {"*"}, // tests
	"pgregory.net/rapid":                     {"*"}, // tests
	"github.com/chromedp":                    {"e2e", "signalr/conformance"},
	"github.com/anishathalye/porcupine":      {"internal/torture/checker"},
	"github.com/santhosh-tekuri/jsonschema":  {"internal/httpapi"},
	"github.com/esh3artech/esh3ar/signalr":   {"*"},
	"github.com/esh3artech/esh3ar/internal/": {"*"},
}

// TestLayers parses the imports itself: a test that asks the go command may be answered from the test cache.
func TestLayers(t *testing.T) {
	t.Parallel()
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "node_modules" || d.Name() == "tools" || d.Name() != "." && strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		if strings.HasSuffix(file, ".go") {
			checkImports(t, filepath.ToSlash(file))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkImports(t *testing.T, file string) {
	t.Helper()
	folder := path.Dir(file)
	if folder == "." {
		folder = ""
	}
	allowed, known := layers[folder]
	if !known {
		t.Errorf("%s: folder %q is not in the table of layers; add it", file, folder)
		return
	}
	test := strings.HasSuffix(file, "_test.go")
	if test {
		allowed = append(slices.Clone(allowed), testLayers[folder]...)
		allowed = append(allowed, folder) // external tests
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Error(err)
		return
	}
	for _, spec := range parsed.Imports {
		name := strings.Trim(spec.Path.Value, `"`)
		if name == module || strings.HasPrefix(name, module+"/") {
			ours := strings.TrimPrefix(strings.TrimPrefix(name, module), "/")
			if !slices.Contains(allowed, ours) && !slices.Contains(allowed, "*") {
				t.Errorf("%s imports %s, which is not below it in the table", file, name)
			}
			if strings.HasPrefix(ours, testKit) && !test && !strings.HasPrefix(folder, testKit) && !slices.Contains(instruments, folder) {
				t.Errorf("%s imports %s: product code must not import the test kit", file, name)
			}
			continue
		}
		checkForeign(t, file, folder, name)
	}
}

func checkForeign(t *testing.T, file, folder, name string) {
	t.Helper()
	if first, _, _ := strings.Cut(name, "/"); !strings.Contains(first, ".") {
		return // the standard library
	}
	for prefix, folders := range importers {
		if strings.HasPrefix(name, prefix) {
			if !slices.Contains(folders, folder) && !slices.Contains(folders, "*") {
				t.Errorf("%s imports %s, which is for %v", file, name, folders)
			}
			return
		}
	}
	t.Errorf("%s imports %s, which is not in the table of importers; add it", file, name)
}
