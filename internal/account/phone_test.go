package account

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"

	"github.com/esh3artech/esh3ar"
)

func mustPhones(t testing.TB) *Phones {
	t.Helper()
	p, err := NewPhones("YE")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// library is the slow way alone.
func library(text string) (esh3ar.Recipient, bool) {
	number, err := phonenumbers.Parse(text, "YE")
	if err != nil || !phonenumbers.IsPossibleNumber(number) {
		return 0, false
	}
	r, err := esh3ar.ParseRecipient(phonenumbers.Format(number, phonenumbers.E164))
	return r, err == nil
}

func TestParse(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"+967771234567":      "+967771234567",
		"771234567":          "+967771234567",
		"0771234567":         "+967771234567",
		"00967771234567":     "+967771234567",
		"+967 77-123 45 67":  "+967771234567",
		"+1 650 253 0000":    "+16502530000",
		"+9670771234567":     "+967771234567", // a trunk prefix behind the country code
		"+39 06 1234 5678":   "+390612345678", // Italy keeps its zero
		"٧٧١٢٣٤٥٦٧":          "+967771234567", // Arabic digits
		"":                   "",
		"+":                  "",
		"hello":              "",
		"+967":               "",
		"+9671":              "",
		"+96777123456789012": "",
		"+999123456789":      "",
		"+967771234567 x":    "+967771234567",
	}
	p := mustPhones(t)
	for text, want := range cases {
		got, ok := p.Parse(text)
		if want == "" {
			if ok {
				t.Errorf("Parse(%q) = %s, want none", text, got)
			}
			continue
		}
		if !ok || got.String() != want {
			t.Errorf("Parse(%q) = %s, %t, want %s", text, got, ok, want)
		}
	}
}

// TestTheFastWayAgreesWithTheLibrary tries numbers of every country code, every length and every leading digit.
func TestTheFastWayAgreesWithTheLibrary(t *testing.T) {
	t.Parallel()
	p := mustPhones(t)
	random := rand.New(rand.NewPCG(1, 2))
	fast := 0
	for code := 1; code < 1000; code++ {
		for length := 4; length <= 15; length++ {
			for first := range 10 {
				if testing.Short() && (length+first+code)%7 != 0 {
					continue
				}
				text := fmt.Sprintf("+%d%d%0*d", code, first, length-1, random.Int64N(1_000_000_000_000_000))
				text = text[:min(len(text), len(fmt.Sprint(code))+1+length)]
				if !p.canonical(text) {
					continue
				}
				fast++
				want, ok := library(text)
				if got, gotOK := p.Parse(text); gotOK != ok || got != want {
					t.Errorf("%s: fast %s, library %s %t", text, got, want, ok)
				}
			}
		}
	}
	if fast < 500 {
		t.Errorf("only %d numbers went the fast way", fast)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("+967771234567")
	f.Add("+9670771234567")
	f.Add(strings.Repeat("9", 300))
	p := mustPhones(f)
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := p.Parse(text)
		want, wantOK := library(text)
		if ok != wantOK || got != want {
			t.Errorf("Parse(%q) = %s %t, library %s %t", text, got, ok, want, wantOK)
		}
	})
}

func TestNewPhonesNamesABadRegion(t *testing.T) {
	t.Parallel()
	if _, err := NewPhones("Yemen"); err == nil || !strings.Contains(err.Error(), "Yemen") {
		t.Errorf("error %v", err)
	}
}

func BenchmarkParse(b *testing.B) {
	p := mustPhones(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := p.Parse("+967771234567"); !ok {
			b.Fatal("not possible")
		}
	}
}
