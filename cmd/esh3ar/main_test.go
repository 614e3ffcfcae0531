package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

func TestRun_BadInput_PrintsOneLineAndExits2(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		args []string
		want string // must be in the line
	}{
		"unknown command":   {[]string{"srve"}, "srve"},
		"unknown flag":      {[]string{"serve", "--lisen", ":1"}, "--lisen"},
		"bad address":       {[]string{"serve", "--listen", "nowhere"}, "--listen"},
		"another database":  {[]string{"serve", "--database-url", "mysql://x"}, "--database-url: must begin with postgres://"},
		"database url":      {[]string{"serve", "--database-url", "postgres://x/a b"}, "--database-url: not a PostgreSQL URL"},
		"verify database":   {[]string{"verify", "--database-url", "mysql://x"}, "--database-url: must begin with postgres://"},
		"admin token":       {[]string{"serve", "--listen", "x", "--admin-token", "a\n"}, "--admin-token: must be visible ASCII"},
		"api key":           {[]string{"serve", "--listen", "x", "--api-key", "a b"}, "--api-key: must be visible ASCII"},
		"short admin token": {[]string{"serve", "--admin-token", "x"}, "--admin-token: too easy to guess"},
		"plain admin token": {[]string{"serve", "--admin-token", strings.Repeat("ab", 32)}, "--admin-token: too easy to guess"},
		"short api key":     {[]string{"serve", "--api-key", "0123456789abcde"}, "--api-key: too easy to guess"},
		"all addresses":     {[]string{"serve", "--listen", "0.0.0.0:0", "--database-url", "postgres://x", "--redis-url", "redis://x"}, "--advertise-url: needed with --redis-url"},
		"all of IPv6":       {[]string{"serve", "--listen", "[::]:0", "--database-url", "postgres://x", "--redis-url", "redis://x"}, "--advertise-url: needed with --redis-url"},
		"no host":           {[]string{"serve", "--listen", ":0", "--database-url", "postgres://x", "--redis-url", "redis://x"}, "--advertise-url: needed with --redis-url"},
		"advertised 0":      {[]string{"serve", "--advertise-url", "http://0.0.0.0:8080"}, "--advertise-url: \"http://0.0.0.0:8080\" cannot be called"},
		"advertised port 0": {[]string{"serve", "--advertise-url", "http://node:0"}, "--advertise-url: \"http://node:0\" cannot be called"},
		"send with a key":   {[]string{"send", "--to", "+967777000001", "--text", "x", "--api-key", "k\n"}, "--api-key: must be visible ASCII"},
		"listen as admin":   {[]string{"listen", "--phone", "+967777000001", "--admin-token", "\u2019"}, "--admin-token: must be visible ASCII"},
		"redis alone":       {[]string{"serve", "--redis-url", "redis://x"}, "--redis-url"},
		"redis url":         {[]string{"serve", "--database-url", "postgres://x", "--redis-url", "http://x"}, "--redis-url"},
		"no capacity":       {[]string{"serve", "--capacity-memory", "lots"}, "--capacity-memory"},
		"little memory":     {[]string{"serve", "--capacity-memory", "1MiB"}, "--capacity-memory"},
		"queue memory unit": {[]string{"serve", "--queue-memory", "64"}, "--queue-memory: must be 1MiB to 65536MiB"},
		"queue memory size": {[]string{"serve", "--queue-memory", "64MB"}, "--queue-memory"},
		"negative capacity": {[]string{"serve", "--capacity-cpu", "-1"}, "--capacity-cpu"},
		"bad region":        {[]string{"serve", "--default-region", "Yemen"}, "--default-region"},
		"bad node id":       {[]string{"serve", "--node-id", "a b"}, "--node-id"},
		"bad advertise url": {[]string{"serve", "--advertise-url", "here"}, "--advertise-url"},
		"missing config":    {[]string{"--config", "/nonexistent.yaml", "serve"}, "--config: open /nonexistent.yaml"},
		"scaler alone":      {[]string{"scaler", "--database-url", "postgres://x"}, "needs --database-url and --redis-url"},
		"scaler database":   {[]string{"scaler", "--database-url", "mysql://x", "--redis-url", "redis://x"}, "--database-url: must begin with postgres://"},
		"scaler redis":      {[]string{"scaler", "--database-url", "postgres://x", "--redis-url", "http://x"}, "--redis-url"},
		"scaler target":     {[]string{"scaler", "--target", "clouds"}, "--target"},
		"scaler command":    {[]string{"scaler", "--database-url", "postgres://x", "--redis-url", "redis://x", "--target", "command"}, "--target: command needs the command after --"},
		"scaler kubernetes": {[]string{"scaler", "--database-url", "postgres://x", "--redis-url", "redis://x", "--target", "kubernetes", "--", "x"}, "--target: kubernetes takes no arguments"},
		"scaler pace":       {[]string{"scaler", "--database-url", "postgres://x", "--redis-url", "redis://x", "--every", "1ms"}, "--every: 1ms is not 1s to 1m"},
		"scaler no policy":  {[]string{"scaler", "--database-url", "postgres://x", "--redis-url", "redis://x", "--policy", "/nonexistent.yaml"}, "--policy: open /nonexistent.yaml"},
		"scaler host":       {[]string{"scaler", "--database-url", "postgres://x", "--redis-url", "redis://x", "--host", "nowhere"}, `--host: "nowhere" is not an address`},
		"scaler everywhere": {[]string{"scaler", "--database-url", "postgres://x", "--redis-url", "redis://x", "--host", "0.0.0.0"}, `--host: "0.0.0.0" is where nodes are reached too`},
		"scaler history":    {[]string{"scaler", "--history"}, "--history needs --database-url"},
		"scaler limit":      {[]string{"scaler", "--history", "--database-url", "postgres://x", "--limit", "0"}, "--limit"},
		"send without text": {[]string{"send", "--to", "+967777000001"}, "--text"},
		"send without key":  {[]string{"send", "--to", "+967777000001", "--text", "x", "--data-dir", "/nonexistent"}, "--api-key"},
		"send no time":      {[]string{"send", "--to", "+967777000001", "--text", "x", "--api-key", "k", "--ttl", "0s"}, "--ttl: must be whole seconds"},
		"send to no url":    {[]string{"send", "--to", "+967777000001", "--text", "x", "--api-key", "k", "--url", "foo"}, `--url: "foo" is not an http or https URL`},
		"listen to no url":  {[]string{"listen", "--phone", "+967777000001", "--token", "k", "--url", "localhost:8080"}, "--url"},
		"torture nothing":   {[]string{"torture", "--kills", "0"}, "--kills or --minutes"},
		"torture backwards": {[]string{"torture", "--minutes", "-1"}, "--minutes"},
		"torture alone":     {[]string{"torture", "--senders", "0"}, "--senders"},
		"torture few":       {[]string{"torture", "--phones", "5"}, "--phones"},
		"gateway to nobody": {[]string{"gateway"}, "--nodes or --redis-url"},
		"gateway to what":   {[]string{"gateway", "--nodes", "http://x,x:8080"}, `--nodes: "x:8080"`},
		"gateway to a path": {[]string{"gateway", "--nodes", "http://x/y"}, "--nodes"},
		"gateway cluster":   {[]string{"gateway", "--nodes", "http://x", "--cluster", "c"}, "--cluster"},
		"gateway redis url": {[]string{"gateway", "--redis-url", "http://x"}, "--redis-url"},
		"gateway trust":     {[]string{"gateway", "--redis-url", "redis://x"}, "--cluster-keys"},
		"gateway keys":      {[]string{"gateway", "--redis-url", "redis://x", "--cluster-keys", "x"}, "--cluster-keys"},
		"gateway address":   {[]string{"gateway", "--nodes", "http://x", "--listen", "x"}, "--listen"},
		"gateway queue":     {[]string{"gateway", "--nodes", "http://x", "--queue-timeout", "0s"}, "--queue-timeout"},
		"gateway slots":     {[]string{"gateway", "--nodes", "http://x", "--connections", "1"}, "--connections"},
		"bench unknown":     {[]string{"bench", "--scenario", "speed"}, "scenario"},
		"bench one node":    {[]string{"bench", "--nodes", "2"}, "--nodes: needs --cluster"},
		"bench no node":     {[]string{"bench", "--cluster", "--nodes", "0"}, "--nodes"},
		"bench crowd":       {[]string{"bench", "--cluster", "--nodes", "9"}, "--nodes"},
		"bench autoscale":   {[]string{"bench", "--autoscale", "--overload"}, "--autoscale: is measured alone"},
		"bench a stretch":   {[]string{"bench", "--autoscale", "--duration", "0s"}, "--duration"},
		"bench both":        {[]string{"bench", "--cluster", "--scenario", "idle"}, "--cluster"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errs bytes.Buffer
			code := run(t.Context(), c.args, &out, &errs)
			if code != exitUsage {
				t.Errorf("exit code %d, want %d", code, exitUsage)
			}
			if lines := strings.Count(errs.String(), "\n"); lines != 1 || !strings.Contains(errs.String(), c.want) {
				t.Errorf("stderr %q: want one line with %q", errs.String(), c.want)
			}
		})
	}
}

func TestPolicy_Invalid_NamesFaults(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte("min: 0\nup: {step: -1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := run(t.Context(), []string{"scaler", "--database-url", "postgres://x", "--redis-url", "redis://x", "--policy", file}, &out, &errs)
	want := "esh3ar: --policy: " + file + ": min: 0 is not 1 to 1000; up.step: -1 is not 0 to 1000\n"
	if code != exitUsage || errs.String() != want {
		t.Errorf("code %d, stderr %q, want %q", code, errs.String(), want)
	}
}

func TestConfig_Precedence_FlagEnvironmentFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "esh3ar.yaml")
	if err := os.WriteFile(file, []byte("listen: 127.0.0.1:1\ndata-dir: from-file\nnode-id: from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ESH3AR_LISTEN", "127.0.0.1:2")
	t.Setenv("ESH3AR_NODE_ID", "from-env")
	var c commands
	parser, err := kong.New(&c, kong.Name("esh3ar"), kong.DefaultEnvars("ESH3AR"), kong.Configuration(loadConfig))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"--config", file, "serve", "--listen", "127.0.0.1:3"}); err != nil {
		t.Fatal(err)
	}
	if c.Serve.Listen != "127.0.0.1:3" || c.Serve.NodeID != "from-env" || c.Serve.DataDir != "from-file" {
		t.Errorf("listen %q, node id %q, data dir %q", c.Serve.Listen, c.Serve.NodeID, c.Serve.DataDir)
	}
}

func TestConfig_UnknownName_IsReported(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "esh3ar.yaml")
	if err := os.WriteFile(file, []byte("lisen: 127.0.0.1:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"--config", file, "serve"}, &out, &errs); code != exitUsage || !strings.Contains(errs.String(), "lisen") {
		t.Errorf("code %d, stderr %q", code, errs.String())
	}
}

func TestVersionAndHelp(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"version"}, {"--help"}, {}, {"serve", "--help"}} {
		var out, errs bytes.Buffer
		if code := run(t.Context(), args, &out, &errs); code != exitOK || !strings.Contains(out.String(), "esh3ar") {
			t.Errorf("%q: code %d, stdout %q, stderr %q", args, code, out.String(), errs.String())
		}
	}
}
