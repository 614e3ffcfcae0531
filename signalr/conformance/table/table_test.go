package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar/signalr/conformance"
)

// everything is a run in which one test proves all items, plus what a case adds.
func everything(t *testing.T, more string) string {
	t.Helper()
	sections, err := conformance.Checklist()
	if err != nil {
		t.Fatal(err)
	}
	var names strings.Builder
	for _, s := range sections {
		for _, item := range s.Items {
			names.WriteString(item.Name + "_")
		}
	}
	return `{"Action":"run","Package":"m/signalr","Test":"TestAll"}
{"Action":"pass","Package":"m/signalr","Test":"TestAll"}
{"Action":"pass","Package":"m/signalr","Test":"TestAll/` + names.String() + `all"}
` + more + `{"Action":"output","Package":"m/signalr","Output":"PASS\n"}
{"Action":"output","Package":"m/signalr","Output":"ok  \tm/signalr\t1s\n"}
{"Action":"pass","Package":"m/signalr"}
`
}

// packages are those of everything.
var packages = []string{"m/signalr"}

// TestRun_CutOffStream_Fails wherever it ends, and where a package never began.
func TestRun_CutOffStream_Fails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "table.md")
	whole := everything(t, "") + `{"Action":"start","Package":"m/e2e"}
{"Action":"pass","Package":"m/e2e","Test":"TestA"}
{"Action":"output","Package":"m/e2e","Output":"ok  \tm/e2e\t1s\n"}
{"Action":"pass","Package":"m/e2e"}
{"Action":"output","Package":"m/plain","Output":"?   \tm/plain\t[no test files]\n"}
{"Action":"skip","Package":"m/plain"}
`
	expected := []string{"m/signalr", "m/e2e", "m/plain"}
	if err := run(strings.NewReader(whole), new(strings.Builder), expected, file, true); err != nil {
		t.Fatal(err)
	}
	for end := len(whole) - 2; end >= 0; end -= 7 {
		if err := run(strings.NewReader(whole[:end]), new(strings.Builder), expected, file, false); err == nil {
			t.Fatalf("a stream that ends with %q passes", whole[max(0, end-80):end])
		}
	}
	err := run(strings.NewReader(whole), new(strings.Builder), append(expected, "m/late"), file, false)
	if err == nil || !strings.Contains(err.Error(), "no end of m/late") {
		t.Errorf("got %v, want the package that did not report", err)
	}
}

func TestTable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "table.md")
	var out strings.Builder
	if err := run(strings.NewReader(everything(t, "")), &out, packages, file, true); err != nil {
		t.Fatal(err)
	}
	if out.String() != "ok  \tm/signalr\t1s\n" {
		t.Errorf("printed %q", out.String())
	}
	if err := run(strings.NewReader(everything(t, "")), &out, packages, file, false); err != nil {
		t.Errorf("the same run: %v", err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), "| 97 | M | Ping is 91 06 | TestAll: all |\n") {
		t.Errorf("%s", text)
	}
}

func TestTable_Clients_AreCounted(t *testing.T) {
	in := everything(t, `{"Action":"pass","Package":"m/signalr","Test":"TestClients/signalr-10/WebSockets/json/a"}
{"Action":"pass","Package":"m/signalr","Test":"TestClients/signalr-10/WebSockets/json/b"}
{"Action":"fail","Package":"m/signalr","Test":"TestClients/signalr-10/LongPolling/json/c"}
{"Action":"pass","Package":"m/signalr","Test":"TestBrowser/chromium-signalr-1.1/ServerSentEvents/json/a"}
{"Action":"pass","Package":"m/signalr","Test":"TestIndependentClient/WebSockets/json/a"}
`)
	file := filepath.Join(t.TempDir(), "table.md")
	if err := run(strings.NewReader(in), new(strings.Builder), packages, file, true); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| @microsoft/signalr@10.0.11 | 2 |  |  |  |  |\n", "| @aspnet/signalr@1.1.4, Chromium |  |  | 1 |  |  |\n", "| ngx-signalr-websocket 1.3.0 | 1 |  |  |  |  |\n",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s is not in\n%s", want, text)
		}
	}
}

func TestTable_IncompleteRun_IsRejected(t *testing.T) {
	file := filepath.Join(t.TempDir(), "table.md")
	all := everything(t, "")
	if err := run(strings.NewReader(all), new(strings.Builder), packages, file, true); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ in, want string }{
		"a skipped test":            {strings.ReplaceAll(all, `"pass","Package":"m/signalr","Test"`, `"skip","Package":"m/signalr","Test"`), "no test that passed proves item1, item2,"},
		"a test in one that failed": {strings.Replace(all, `"pass","Package":"m/signalr","Test":"TestAll"}`, `"fail","Package":"m/signalr","Test":"TestAll"}`, 1), "no test that passed proves item1,"},
		"another package's":         {strings.ReplaceAll(all, "m/signalr", "m/other") + `{"Action":"pass","Package":"m/signalr"}`, "no test that passed proves item1,"},
		"a package that failed":     {all + `{"Action":"fail","Package":"m/x"}`, "failed: m/x"},
		"an item nobody asked for":  {everything(t, `{"Action":"pass","Package":"m/signalr","Test":"Test_item172"}`+"\n"), "the checklist has no item172"},
		"one proof more":            {everything(t, `{"Action":"pass","Package":"m/signalr","Test":"Test_item97"}`+"\n"), "not what this run proves"},
		"one proof more, by its attribute": {everything(t, `{"Action":"attr","Package":"m/signalr","Test":"TestX","Key":"checklist","Value":"item97"}
{"Action":"pass","Package":"m/signalr","Test":"TestX"}
`), "+ | 97 | M | Ping is 91 06 | TestAll: all<br>TestX |"},
		"a run that was cut off": {"", "cut off: no end of m/signalr"},
	} {
		t.Run(name, func(t *testing.T) {
			err := run(strings.NewReader(tc.in), new(strings.Builder), packages, file, false)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

func TestTable_FailedTest_IsPrinted(t *testing.T) {
	in := `# m/broken
{"ImportPath":"m/broken","Action":"build-output","Output":"x.go:1: no\n"}
{"Action":"output","Package":"m/a","Test":"TestBad","Output":"--- FAIL: TestBad\n"}
{"Action":"output","Package":"m/a","Test":"TestGood","Output":"chatter\n"}
{"Action":"pass","Package":"m/a","Test":"TestGood"}
{"Action":"fail","Package":"m/a","Test":"TestBad"}
{"Action":"output","Package":"m/a","Output":"FAIL\tm/a\t1s\n"}
{"Action":"fail","Package":"m/a"}
`
	var out strings.Builder
	err := run(strings.NewReader(in), &out, packages, "", false)
	want := "# m/broken\nx.go:1: no\n--- FAIL: TestBad\nFAIL\tm/a\t1s\n"
	if out.String() != want || err == nil || !strings.Contains(err.Error(), "m/a") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// TestTable_DataRace_IsPrinted: also when they are noted under a test that passed.
func TestTable_DataRace_IsPrinted(t *testing.T) {
	in := `{"Action":"output","Package":"m/a","Test":"TestGood","Output":"WARNING: DATA RACE\n"}
{"Action":"output","Package":"m/a","Test":"TestGood","Output":"Write at 0x1 by goroutine 7\n"}
{"Action":"pass","Package":"m/a","Test":"TestGood"}
{"Action":"output","Package":"m/a","Output":"FAIL\tm/a\t1s\n"}
{"Action":"fail","Package":"m/a"}
`
	var out strings.Builder
	if err := run(strings.NewReader(in), &out, packages, "", false); err == nil || !strings.Contains(out.String(), "by goroutine 7") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
