package cache

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestMatchPattern_Table(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "a/b:c", true},
		{"a*", "abc", true},
		{"a*", "ba", false},
		{"*c", "abc", true},
		{"*c", "abcd", false},
		{"a*c", "ac", true},
		{"a*b*c", "a1b2c", true},
		{"a*b*c", "a1c2b", false},
		{"?", "ü", true},
		{"?", "", false},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"**", "x", true},
		{"*a*", "bbb", false},
		{"*ab", "aab", true},
		{"[a]", "a", false},
		{"[a]", "[a]", true},
		{`\*`, `\x`, true},
		{"*aab", "aaaaab", true},
	} {
		if got := matchPattern(test.pattern, test.name); got != test.want {
			t.Errorf("match(%q, %q) is %t", test.pattern, test.name, got)
		}
	}
}

// FuzzMatchPattern compares patterns with regular expressions.
func FuzzMatchPattern(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Add("*a*a*", "banana")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if len(pattern) > 100 || len(name) > 1000 || pattern != strings.ToValidUTF8(pattern, "") || name != strings.ToValidUTF8(name, "") {
			return
		}
		quoted := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
		if want := regexp.MustCompile(`(?s)\A` + quoted + `\z`).MatchString(name); matchPattern(pattern, name) != want {
			t.Errorf("match(%q, %q) is not %t", pattern, name, want)
		}
	})
}

func TestEnvelope_EncodeAndDecode_Match(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]envelope{
		"full":     {expiresAt: time.UnixMilli(1_800_000_000_123), found: true, tags: []string{"a", ""}, generations: []string{"w", "k", "", strings.Repeat("g", 300)}, value: []byte("v")},
		"no tags":  {expiresAt: time.UnixMilli(1), found: true, generations: []string{"", ""}, value: []byte{}},
		"no value": {expiresAt: time.UnixMilli(1), generations: []string{"", ""}, value: []byte{}},
	} {
		raw := e.append(nil)
		got, err := parseEnvelope(raw)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, e)
		}
		for cut := range len(raw) - len(e.value) {
			if _, err := parseEnvelope(raw[:cut]); err == nil {
				t.Errorf("%s: read from %d of %d bytes", name, cut, len(raw))
			}
		}
	}
}

// FuzzEnvelope: bytes that can be parsed encode to the same bytes, and no input causes a panic or takes more memory than its size.
func FuzzEnvelope(f *testing.F) {
	f.Add((&envelope{expiresAt: time.UnixMilli(5), found: true, tags: []string{"a"}, generations: []string{"w", "k", "g"}, value: []byte("v")}).append(nil))
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 255, 255, 255, 255, 255, 255, 255, 255, 127})
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := parseEnvelope(raw)
		if err != nil {
			return
		}
		again, err := parseEnvelope(e.append(nil))
		if err != nil || !reflect.DeepEqual(again, e) {
			t.Errorf("%+v became %+v, %v", e, again, err)
		}
	})
}

func TestLatency_Buckets_RoundUp(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]int{
		-1: 0, 0: 0, time.Microsecond: 0, time.Microsecond + 1: 1, 2 * time.Microsecond: 1, 3 * time.Microsecond: 2,
		time.Millisecond: 10, time.Second: 20, time.Hour: LatencyBuckets - 1,
	} {
		var l latency
		l.add(d)
		if got := l.read(); got.Buckets[want] != 1 || got.Count() != 1 || got.Sum != max(d, 0) {
			t.Errorf("%s: %v", d, got)
		}
	}
}

// TestPendingInvalidations_Retry_CountedOnce: a failed invalidation stays pending until it is propagated, and counts once however
// often it failed.
func TestPendingInvalidations_Retry_CountedOnce(t *testing.T) {
	t.Parallel()
	var l pendingInvalidations
	l.begin("a")
	l.begin("a") // in progress until the end
	l.begin("b")
	l.done("b", 1)
	l.failed("a", invalidation{Keys: []string{"1"}}, 1)
	for range 3 {
		due := l.takeFailed()
		if len(due) != 1 || due["a"].failed != 1 || !reflect.DeepEqual(due["a"].merged.Keys, []string{"1"}) {
			t.Fatalf("due: %+v", due)
		}
		if again := l.takeFailed(); len(again) != 0 {
			t.Errorf("due while it is tried: %+v", again)
		}
		l.failed("a", due["a"].merged, due["a"].failed)
	}
	l.takeFailed()
	if l.done("a", 1); !l.has("a") || l.has("b") || l.total() != 1 {
		t.Errorf("one is under way still: a %t, b %t, %d", l.has("a"), l.has("b"), l.total())
	}
	if l.done("a", 1); l.has("a") || l.total() != 0 {
		t.Error("all is paid")
	}
}
