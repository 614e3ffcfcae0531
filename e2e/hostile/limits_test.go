package hostile

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// limitsPage has the table of limits.
const limitsPage = "../../docs/security.md"

// limitRow is one row of the table: resource, bound, owner of the share, what happens at the bound, what sets it, metric.
type limitRow struct {
	resource, bound, setBy, metric string
}

// limitRows reads the rows of every table whose head is that of the limits.
func limitRows(t *testing.T) (rows []limitRow) {
	t.Helper()
	for _, cells := range tableRows(t, "Resource", 6) {
		rows = append(rows, limitRow{cells[0], cells[1], cells[4], cells[5]})
	}
	return rows
}

// tableRows returns the cells of the rows of every table of the page whose head begins with first. Each row must have that many cells.
func tableRows(t *testing.T, first string, columns int) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile(limitsPage)
	if err != nil {
		t.Fatal(err)
	}
	in := false
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case !strings.HasPrefix(line, "|"):
			in = false
		case cells[0] == first:
			in = true
		case in && strings.HasPrefix(cells[0], "-"):
		case in && len(cells) != columns:
			t.Errorf("a row has %d cells, want %d: %s", len(cells), columns, line)
		case in:
			rows = append(rows, cells)
		}
	}
	return rows
}

// code finds what stands between back quotes.
var code = regexp.MustCompile("`([^`]+)`")

func quoted(cell string) (words []string) {
	for _, m := range code.FindAllStringSubmatch(cell, -1) {
		words = append(words, m[1])
	}
	return words
}

// TestSecurityPage_LimitsTable_MatchesProgram walks the table of limits: flags exist and have the default that the page states,
// constants exist and have the value that the page states, and the metrics are in /metrics of a running node
// or gateway.
func TestSecurityPage_LimitsTable_MatchesProgram(t *testing.T) {
	t.Parallel()
	rows := limitRows(t)
	if len(rows) < 20 {
		t.Fatalf("%d rows, want at least 20", len(rows))
	}
	w := limitWalk{t: t, cluster: startCluster(t), source: source{}}
	w.serve, w.gateway = w.help("serve"), w.help("gateway")
	_ = w.cluster.token("+967770000001", "walk") // a route with a series in the metrics
	for _, p := range w.cluster.processes() {
		w.metrics += w.cluster.metrics(p)
	}
	for _, row := range rows {
		w.row(row)
	}
}

// limitWalk is what the rows are compared with.
type limitWalk struct {
	t              *testing.T
	cluster        *cluster
	serve, gateway string // help texts
	metrics        string
	source         source
}

func (w *limitWalk) help(command string) string {
	w.t.Helper()
	text, err := exec.Command(binary, command, "--help").CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s --help: %v %s", command, err, text)
	}
	return string(text)
}

func (w *limitWalk) row(row limitRow) {
	w.t.Helper()
	setters := quoted(row.setBy)
	if len(setters) == 0 {
		w.t.Errorf("%s: nothing sets the bound", row.resource)
	}
	value, stated := statedBound(row.bound)
	for i, setter := range setters {
		if i > 0 {
			stated = false // the first is what the cell begins with
		}
		w.setter(row, setter, value, stated)
	}
	for _, name := range quoted(row.metric) {
		series, labels, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
		if !hasSeries(w.metrics, series, labels) {
			w.t.Errorf("%s: no metric %s", row.resource, name)
		}
	}
}

// setter compares one flag, field of a plan or constant with the stated bound.
func (w *limitWalk) setter(row limitRow, setter string, value float64, stated bool) {
	w.t.Helper()
	var got []float64
	switch {
	case strings.HasPrefix(setter, "--"):
		defaults, known := flagDefault(w.serve, setter)
		if !known {
			defaults, known = flagDefault(w.gateway, setter)
		}
		if !known {
			w.t.Errorf("%s: there is no flag %s", row.resource, setter)
			return
		}
		if defaults == "" {
			return // it depends on the machine, as its help says
		}
		got = bounds(defaults)
	default:
		dir, name, _ := cutLast(setter, ".")
		values, err := w.source.values("../../"+dir, name)
		if err != nil {
			w.t.Errorf("%s: %s: %v", row.resource, setter, err)
			return
		}
		got = values
	}
	if !stated {
		return
	}
	for _, g := range got {
		if g == value {
			return
		}
	}
	w.t.Errorf("%s: the page states %q (%g), %s is %g", row.resource, row.bound, value, setter, got)
}

func cutLast(text, sep string) (before, after string, found bool) {
	at := strings.LastIndex(text, sep)
	if at < 0 {
		return "", text, false
	}
	return text[:at], text[at+len(sep):], true
}

// amount is a number with a unit.
var amount = regexp.MustCompile(`^([0-9][0-9,_]*(?:\.[0-9]+)?) ?(KiB|MiB|GiB|ms|s|min|h|d)?(?:\b|$)`)

var units = map[string]float64{
	"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
	"ms": float64(time.Millisecond), "s": float64(time.Second), "min": float64(time.Minute), "h": float64(time.Hour), "d": float64(24 * time.Hour),
}

// statedBound reads the amount that a cell begins with; stated is false if it begins with words.
func statedBound(cell string) (value float64, stated bool) {
	m := amount.FindStringSubmatch(cell)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(strings.NewReplacer(",", "", "_", "").Replace(m[1]), 64)
	return n * units[m[2]], err == nil
}

// bounds returns the values that the default of a flag or a plan may mean: a duration, a size with its unit, or a number as it is, in MiB
// and in seconds.
func bounds(text string) (values []float64) {
	if m := amount.FindStringSubmatch(text); m != nil && m[0] == text && strings.HasSuffix(m[2], "iB") {
		size, _ := statedBound(text)
		return []float64{size}
	}
	if d, err := time.ParseDuration(text); err == nil && text != "0" {
		return []float64{float64(d)}
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil
	}
	return []float64{n, n * units["MiB"], n * units["s"]}
}

// flagDefault finds a flag in a help text.
func flagDefault(help, flag string) (value string, known bool) {
	m := regexp.MustCompile(`(?m)^\s+` + regexp.QuoteMeta(flag) + `(?:=(\S+))?(?:\s|$)`).FindStringSubmatch(help)
	if m == nil {
		return "", false
	}
	value = strings.Trim(m[1], `"`)
	if strings.ToUpper(value) == value && strings.ContainsAny(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		return "", true // a placeholder
	}
	return value, true
}

// hasSeries reports whether the metrics have a series of that name with these labels.
func hasSeries(metrics, name, labels string) bool {
	for line := range strings.Lines(metrics) {
		rest, found := strings.CutPrefix(line, name)
		if !found {
			continue
		}
		rest = strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(rest, "_count"), "_bucket"), "_sum")
		if (rest[0] == ' ' || rest[0] == '{') && strings.Contains(rest, labels) {
			return true
		}
	}
	return false
}

func TestLimitsTable_StatedBound_IsParsed(t *testing.T) {
	t.Parallel()
	for cell, want := range map[string]float64{
		"128 KiB of a body": 128 << 10, "20,000 messages": 20_000, "1 min in all": float64(time.Minute), "64": 64, "30 s": float64(30 * time.Second),
		"5 MiB": 5 << 20, "4 at once": 4, "10 minutes": 10,
	} {
		if got, stated := statedBound(cell); !stated || got != want {
			t.Errorf("%q: got %g %t, want %g", cell, got, stated, want)
		}
	}
	if _, stated := statedBound("a quarter of `--max-connections`"); stated {
		t.Error("words are a number")
	}
	if v, known := flagDefault("      --waiting=10000      Calls", "--waiting"); !known || v != "10000" {
		t.Errorf("got %q %t", v, known)
	}
	if v, known := flagDefault("      --max-connections=INT\n", "--max-connections"); !known || v != "" {
		t.Errorf("got %q %t", v, known)
	}
	if got := bounds("128MiB"); len(got) != 1 || got[0] != 128<<20 {
		t.Errorf("bounds of 128MiB: got %g, want %d alone", got, 128<<20)
	}
	if _, known := flagDefault("      --waiting=10000      Calls", "--wait"); known {
		t.Error("a part of a flag is found")
	}
	if !hasSeries("# HELP a b\na_total{x=\"y\"} 1\n", "a_total", `x="y"`) || hasSeries("a_total 1\n", "a", "") {
		t.Error("series")
	}
}
