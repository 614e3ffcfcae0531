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

// layers says which of our packages each package may import; "" is the root. Imports point downwards only: edges import
// what they drive, engines never import edges, and only cmd knows concrete types.
var layers = map[string][]string{
	"":                         {},
	"signalr":                  {},
	"signalr/browser":          {},
	"signalr/examples/chat":    {"signalr", "signalr/browser"},
	"internal/certfile":        {},
	"internal/connlimit":       {},
	"internal/panics":          {},
	"internal/fastpath":        {"internal/gate"},
	"internal/fairshare":       {},
	"internal/flow":            {},
	"internal/gate":            {},
	"internal/opaque":          {""},
	"internal/vitals":          {},
	"internal/keyring":         {""},
	"internal/mover":           {"", "internal/flow", "internal/route"},
	"internal/quota":           {"", "internal/flow"},
	"internal/planted":         {},
	"internal/rows":            {},
	"internal/netpoll":         {"internal/vitals"},
	"internal/wire":            {""},
	"internal/route":           {"", "internal/cache", "internal/flow", "internal/planted"},
	"internal/route/routetest": {"", "internal/route"},
	"internal/account":         {"", "internal/cache", "internal/connlimit", "internal/flow", "internal/keyring"},
	"internal/intake":          {"", "internal/flow", "internal/planted", "internal/fairshare"},
	"internal/delivery":        {"", "internal/flow", "internal/planted", "internal/route", "internal/scale/workers", "internal/fairshare"},
	"internal/backplane":       {"internal/route", "internal/rows", "signalr"},
	"internal/credential":      {},
	"internal/hub":             {"", "internal/account", "internal/credential", "internal/delivery", "internal/notify", "internal/wire", "signalr", "internal/fairshare", "internal/connlimit", "internal/opaque"},
	"internal/httpapi":         {"", "internal/account", "internal/credential", "internal/intake", "internal/flow", "internal/notify", "internal/quota", "internal/wire", "internal/fairshare", "internal/connlimit", "internal/opaque"},
	"internal/dashboard":       {"", "signalr/browser"},
	"internal/gateway/balance": {"", "internal/flow", "internal/route"},
	"internal/gateway/backend": {},
	"internal/gateway":         {"", "internal/gateway/backend", "internal/gateway/balance", "internal/flow", "internal/gate", "internal/route", "internal/fairshare", "internal/connlimit"},
	"internal/breaker":         {""},
	"internal/notify":          {"", "internal/planted", "internal/fairshare"},
	"internal/janitor":         {""},
	"internal/disk":            {""},
	"internal/duration":        {},
	"internal/store/embedded":  {"", "internal/disk", "internal/planted", "internal/rows", "internal/store/progress"},
	"internal/store/progress":  {"", "internal/rows"},
	"internal/store/postgres":  {"", "internal/planted", "internal/scale", "internal/store/progress"},
	"internal/store/powercut":  {},
	"internal/store/storetest": {""},
	"internal/redis":           {"", "internal/keyring", "internal/planted", "internal/route"},
	"internal/cache":           {},
	"internal/spill":           {"", "internal/disk", "internal/gate", "internal/planted", "internal/rows"},
	"internal/nodeproc":        {},
	"internal/badlink":         {},
	"internal/attack":          {},
	"internal/pgproc":          {"internal/nodeproc"},
	"internal/redisproc":       {"internal/nodeproc"},
	"internal/phone":           {""},
	"internal/bench":           {"", "internal/nodeproc", "internal/pgproc", "internal/phone", "internal/redisproc"},
	"internal/torture/ledger":  {""},
	"internal/torture":         {"internal/badlink", "internal/nodeproc", "internal/pgproc", "internal/phone", "internal/redisproc", "internal/torture/ledger"},
	"e2e":                      {"signalr/browser", "internal/badlink", "internal/nodeproc", "internal/pgproc", "internal/phone", "internal/planted", "internal/redisproc"},
	"e2e/hostile":              {"internal/attack", "internal/nodeproc", "internal/pgproc", "internal/phone", "internal/redisproc"},
	"cmd/esh3ar":               {"*"},

	"internal/scale":            {"", "internal/duration", "internal/route"},
	"internal/scale/command":    {"internal/scale"},
	"internal/scale/kubernetes": {"internal/route", "internal/scale"},
	"internal/scale/processes":  {"internal/flow", "internal/route", "internal/scale"},
	"internal/scale/workers":    {},
	"signalr/conformance":       {},
	"signalr/conformance/table": {"signalr/conformance"},
}

// testLayers says what the tests of a package may import besides: the real store in place of a fake.
var testLayers = map[string][]string{
	"internal/store/embedded": {"internal/store/powercut", "internal/store/storetest"},
	"internal/store/postgres": {"internal/pgproc", "internal/store/storetest"},
	"internal/redis":          {"internal/flow", "internal/redisproc"},
	"internal/cache":          {"internal/breaker", "internal/keyring", "internal/redis", "internal/redisproc"},
	"internal/spill":          {"internal/store/embedded", "internal/store/powercut"},
	"internal/connlimit":      {"internal/fastpath", "internal/netpoll", "signalr"},
	"internal/fastpath":       {"internal/netpoll"},
	"internal/intake":         {"internal/spill"},
	"internal/account":        {"internal/store/embedded"},
	"internal/route":          {"internal/route/routetest"},
	"internal/delivery":       {"internal/route/routetest", "internal/store/embedded"},
	"internal/backplane":      {"internal/keyring", "internal/redis", "internal/redisproc"},
	"internal/hub":            {"internal/phone", "internal/store/embedded"},
	"internal/httpapi":        {"internal/spill", "internal/store/embedded"},
	"signalr/conformance":     {"signalr"},
}

// importers says who may import a module from elsewhere, by prefix of its path; the root imports uuid only.
var importers = map[string][]string{
	"github.com/cockroachdb/pebble":          {"internal/disk", "internal/intake", "internal/spill", "internal/store/embedded", "internal/store/powercut", "cmd/esh3ar"},
	"github.com/jackc/pgx":                   {"internal/store/postgres"},
	"github.com/pressly/goose":               {"internal/store/postgres"},
	"github.com/redis/rueidis":               {"internal/redis"},
	"github.com/maypok86/otter":              {"internal/cache"},
	"github.com/prometheus":                  {"cmd/esh3ar", "e2e"},
	"github.com/alecthomas/kong":             {"cmd/esh3ar"},
	"go.yaml.in/yaml":                        {"internal/scale", "cmd/esh3ar"},
	"github.com/nyaruka/phonenumbers":        {"internal/account"},
	"github.com/golang-jwt":                  {"internal/account", "signalr"},
	"github.com/HdrHistogram":                {"internal/bench"},
	"github.com/failsafe-go/failsafe-go":     {"internal/breaker"},
	"github.com/google/uuid":                 {"", "cmd/esh3ar", "internal/attack", "internal/route"},
	"golang.org/x/sync":                      {"*"},
	"golang.org/x/sys":                       {"signalr", "internal/bench"},
	"go.uber.org/goleak":                     {"*"}, // tests
	"pgregory.net/rapid":                     {"*"}, // tests
	"github.com/chromedp":                    {"e2e", "signalr/conformance"},
	"github.com/anishathalye/porcupine":      {"internal/torture/ledger"},
	"github.com/santhosh-tekuri/jsonschema":  {"internal/httpapi"},
	"github.com/esh3artech/esh3ar/signalr":   {"*"},
	"github.com/esh3artech/esh3ar/internal/": {"*"},
}

// TestLayers reads the imports itself: asking the go command would be answered from its cache.
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
		t.Errorf("%s: folder %q is not in the table of layers; give it its place", file, folder)
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
				t.Errorf("%s imports %s, which lies not below it", file, name)
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
	t.Errorf("%s imports %s, which nobody is known to need; give it its place", file, name)
}
