package requestid_test

import (
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/esh3artech/esh3ar/internal/requestid"
)

func TestSet_RequestID_IsKeptIfValid(t *testing.T) {
	t.Parallel()
	generated := regexp.MustCompile(`^[0-9a-f]{32}$`)
	for _, c := range []struct {
		name string
		sent []string
		kept bool
	}{
		{"none", nil, false},
		{"UUID", []string{"0198c6a4-7b1e-7c3a-9d52-0c6f3a1b2e4d"}, true},
		{"every character", []string{"aZ09-_.~:/+=@"}, true},
		{"longest", []string{strings.Repeat("a", requestid.MaxLength)}, true},
		{"too long", []string{strings.Repeat("a", requestid.MaxLength+1)}, false},
		{"empty", []string{""}, false},
		{"two values", []string{"a", "b"}, false},
		{"space", []string{"a b"}, false},
		{"quote", []string{`a"b`}, false},
		{"escape", []string{"a\x1b[31m"}, false},
		{"line end", []string{"a\nb"}, false},
		{"not ASCII", []string{"é"}, false},
		{"markup", []string{"<b>"}, false},
	} {
		response := http.Header{}
		requestid.Set(response, http.Header{requestid.Header: c.sent})
		got := requestid.Of(response)
		if c.kept && got != c.sent[0] || !c.kept && !generated.MatchString(got) {
			t.Errorf("%s: sent %q, got %q, want it kept: %v", c.name, c.sent, got, c.kept)
		}
	}
}

func TestSet_ResponseHasID_KeepsIt(t *testing.T) {
	t.Parallel()
	response := http.Header{}
	first := requestid.Set(response, nil)[0]
	if again := requestid.Set(response, http.Header{requestid.Header: {"other"}}); again[0] != first || requestid.Of(response) != first {
		t.Errorf("second call: got %q, want %q", again, first)
	}
}

func TestSet_Concurrent_IDsAreUnique(t *testing.T) {
	t.Parallel()
	var (
		group sync.WaitGroup
		mu    sync.Mutex
		seen  = map[string]bool{}
	)
	const callers, calls = 8, 500
	for range callers {
		group.Go(func() {
			for range calls {
				id := requestid.Set(http.Header{}, nil)[0]
				mu.Lock()
				seen[id] = true
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if len(seen) != callers*calls {
		t.Errorf("got %d different ids, want %d", len(seen), callers*calls)
	}
}
