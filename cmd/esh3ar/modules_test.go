package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// linkedModules lists the modules that the binary may link, by the part that needs them. A module that is not listed
// fails TestBinary_LinksOnlyListedModules: add it here only if a command of the contract needs it at run time.
var linkedModules = map[string][]string{
	"this module": {"github.com/esh3artech/esh3ar"},
	"embedded store, spill": {
		"github.com/cockroachdb/pebble/v2", "github.com/DataDog/zstd", "github.com/RaduBerinde/axisds", "github.com/RaduBerinde/btreemap",
		"github.com/bits-and-blooms/bitset", "github.com/cockroachdb/crlib", "github.com/cockroachdb/errors", "github.com/cockroachdb/logtags",
		"github.com/cockroachdb/redact", "github.com/cockroachdb/swiss", "github.com/cockroachdb/tokenbucket", "github.com/getsentry/sentry-go",
		"github.com/gogo/protobuf", "github.com/golang/snappy", "github.com/klauspost/compress", "github.com/kr/pretty", "github.com/kr/text",
		"github.com/minio/minlz", "github.com/pkg/errors", "github.com/rogpeppe/go-internal", "golang.org/x/exp",
	},
	"PostgreSQL store": {
		"github.com/jackc/pgx/v5", "github.com/jackc/pgpassfile", "github.com/jackc/pgservicefile", "github.com/jackc/puddle/v2",
		"github.com/pressly/goose/v3", "github.com/mfridman/interpolate", "github.com/sethvargo/go-retry", "go.uber.org/multierr",
	},
	"Redis, caches, breakers": {
		"github.com/redis/rueidis", "github.com/maypok86/otter/v2", "github.com/failsafe-go/failsafe-go",
	},
	"metrics": {
		"github.com/prometheus/client_golang", "github.com/prometheus/client_model", "github.com/prometheus/common", "github.com/prometheus/procfs",
		"github.com/beorn7/perks", "github.com/cespare/xxhash/v2", "github.com/munnerz/goautoneg", "google.golang.org/protobuf",
	},
	"accounts": {
		"github.com/golang-jwt/jwt/v5", "github.com/google/uuid", "github.com/nyaruka/phonenumbers",
	},
	"command line, configuration": {
		"github.com/alecthomas/kong", "go.yaml.in/yaml/v3",
	},
	"bench command":        {"github.com/HdrHistogram/hdrhistogram-go"},
	"torture command":      {"github.com/anishathalye/porcupine"},
	"extended Go packages": {"golang.org/x/sync", "golang.org/x/sys", "golang.org/x/text"},
}

// testPackages are packages of this module and of Go that only tests may link. The process helpers (internal/testkit/nodeproc,
// pgproc, redisproc), internal/testkit/faultproxy and internal/signalrclient are not among them: bench and torture run on them. Nor are
// internal/crashfs, on which a node of torture stores its data, and signalr/browser, the client of the demo page.
var testPackages = []string{
	"testing", "net/http/httptest",
	"github.com/esh3artech/esh3ar/e2e", "github.com/esh3artech/esh3ar/internal/testkit/attack",
	"github.com/esh3artech/esh3ar/internal/testkit/clustersim",
	"github.com/esh3artech/esh3ar/internal/store/storetest", "github.com/esh3artech/esh3ar/signalr/conformance",
}

// linked returns what `go list -deps` prints for the binary in the given format, without empty lines.
func linked(t *testing.T, format string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", format, ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	lines := strings.Fields(string(out))
	slices.Sort(lines)
	return slices.Compact(lines)
}

func TestBinary_LinksOnlyListedModules(t *testing.T) {
	t.Parallel()
	got := linked(t, "{{with .Module}}{{.Path}}{{end}}")
	var want []string
	for _, modules := range linkedModules {
		want = append(want, modules...)
	}
	for _, module := range got {
		if !slices.Contains(want, module) {
			t.Errorf("the binary links %s, which linkedModules does not list", module)
		}
	}
	for _, module := range want {
		if !slices.Contains(got, module) {
			t.Errorf("linkedModules lists %s, which the binary does not link", module)
		}
	}
}

func TestBinary_LinksNoTestPackages(t *testing.T) {
	t.Parallel()
	got := linked(t, "{{.ImportPath}}")
	for _, name := range got {
		for _, banned := range testPackages {
			if name == banned || strings.HasPrefix(name, banned+"/") {
				t.Errorf("the binary links %s, which is for tests only", name)
			}
		}
	}
}
