package signalr_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocumentedProgram builds the program that the package's documentation gives to newcomers.
func TestDocumentedProgram(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	var program strings.Builder
	inside := false
	for line := range strings.Lines(string(doc)) {
		code, ok := strings.CutPrefix(line, "//\t")
		inside = ok && code == "package main\n" || inside && (ok || line == "//\n")
		switch {
		case inside && ok:
			program.WriteString(code)
		case inside:
			program.WriteString("\n")
		}
	}
	source := filepath.Join(t.TempDir(), "main.go")
	text := program.String()
	if !strings.Contains(text, "func main()") {
		t.Fatalf("no program:\n%s", text)
	}
	if err = os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "vet", source).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, text)
	}
}
