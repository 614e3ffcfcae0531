package hostile

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// signRow is one row of the table of signs: what an operator sees, the line in the log, the metrics.
type signRow struct {
	sign, line, metric string
}

// signRows reads the rows of the table whose first column is the sign of an attack.
func signRows(t *testing.T) (rows []signRow) {
	t.Helper()
	for _, cells := range tableRows(t, "sign", 3) {
		rows = append(rows, signRow{cells[0], cells[1], cells[2]})
	}
	return rows
}

// TestSecurityPage_SignsTable_MatchesProgram walks the table of signs: each line is a text of the program or the name of a shared
// resource, and each metric is in /metrics of a running node or gateway.
func TestSecurityPage_SignsTable_MatchesProgram(t *testing.T) {
	t.Parallel()
	rows := signRows(t)
	if len(rows) < 10 {
		t.Fatalf("got %d rows, want at least 10", len(rows))
	}
	texts := programTexts(t, "../../internal", "../../signalr", "../../cmd")
	c := startCluster(t)
	var metrics strings.Builder
	for _, p := range c.processes() {
		metrics.WriteString(c.metrics(p))
	}
	for _, row := range rows {
		names := quoted(row.metric)
		if len(names) == 0 {
			t.Errorf("%s: got no metric, want one", row.sign)
		}
		for _, name := range names {
			if !hasSeries(metrics.String(), name, "") {
				t.Errorf("%s: /metrics has no %s", row.sign, name)
			}
		}
		lines := quoted(row.line)
		if len(lines) == 0 && !strings.HasPrefix(row.line, "none") {
			t.Errorf("%s: got %q as line in the log, want a quoted text, or none with its reason", row.sign, row.line)
		}
		for _, line := range lines {
			if !logged(line, texts, metrics.String()) {
				t.Errorf("%s: the program does not log %s", row.sign, line)
			}
		}
	}
}

// logged reports whether the program logs line: the name of a limit is a whole text of the program or a shared resource, and any other
// line is the beginning of a text.
func logged(line string, texts map[string]bool, metrics string) bool {
	name := strings.Trim(strings.TrimPrefix(line, "limit="), `"`)
	if texts[name] || strings.Contains(metrics, `resource="`+name+`"`) {
		return true
	}
	if name != line || !strings.Contains(line, " ") {
		return false // a prefix of a name is another name
	}
	for text := range texts {
		if strings.HasPrefix(text, line) {
			return true
		}
	}
	return false
}

// programTexts returns the strings of all Go files below the folders, without tests.
func programTexts(t *testing.T, folders ...string) map[string]bool {
	t.Helper()
	texts := map[string]bool{}
	visit := func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, is := n.(*ast.BasicLit)
			if is && literal.Kind == token.STRING {
				text, err := strconv.Unquote(literal.Value)
				if err == nil {
					texts[text] = true
				}
			}
			return true
		})
		return nil
	}
	for _, folder := range folders {
		if err := filepath.WalkDir(folder, visit); err != nil {
			t.Fatal(err)
		}
	}
	return texts
}
