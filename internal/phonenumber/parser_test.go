package phonenumber

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"

	"github.com/nyaruka/phonenumbers"

	"github.com/esh3artech/esh3ar"
)

func mustParser(t testing.TB, region string) *Parser {
	t.Helper()
	p, err := NewParser(region)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// library parses digits, with or without a plus, with the library only.
func library(digits, region string) (esh3ar.Recipient, bool) {
	number, err := phonenumbers.Parse(digits, region)
	if err != nil || possible(number) != nil {
		return 0, false
	}
	r, err := esh3ar.ParseRecipient(phonenumbers.Format(number, phonenumbers.E164))
	return r, err == nil
}

// wantNumber checks the result for one text; an empty want means an error.
func wantNumber(t *testing.T, p *Parser, text, want string) {
	t.Helper()
	got, err := p.Parse(text)
	if want == "" && err == nil {
		t.Errorf("Parse(%q) = %s, want an error", text, got)
	} else if want != "" && (err != nil || got.String() != want) {
		t.Errorf("Parse(%q) = %s, %v, want %s", text, got, err, want)
	}
}

func TestParser_UsualFormats_AreParsed(t *testing.T) {
	t.Parallel()
	p := mustParser(t, "YE")
	const want = "+967771234567"
	for _, text := range []string{
		"+967771234567", "771234567", "0771234567", "00967771234567", "967771234567",
		"+967 77-123 45 67", "+967.77.123.45.67", "+967 (77) 1234567", "(+967) 771234567", "[+967] 771234567", "+(967) 771234567",
		"+ 967 771234567", "+967 (0) 771234567", "+9670771234567", "00 967 77 123 4567", "(077) 123-4567", "+967\u2011771\u2013234\u2212567",
		"+967\u00a077\u202f123\u2009456\u30007", "\uff0b\uff19\uff16\uff17771234567", "\uff08077\uff09123\uff0d4567", "+967 - 77 - 1234567",
		"tel:+967-77-123-4567", "TEL:+967771234567", "tel:(077)1234567", "tel: +967771234567", "+967\u200b771\u00ad234\u2060567",
		"٧٧١٢٣٤٥٦٧", "+٩٦٧٧٧١٢٣٤٥٦٧", "+۹۶۷۷۷۱۲۳۴۵۶۷", "+९६७७७१२३४५६७", "+９６７７７１２３４５６７", "+৯৬৭৭৭১২৩৪৫৬৭", "+967٧٧١234567",
	} {
		wantNumber(t, p, text, want)
	}
	wantNumber(t, p, "+1 (650) 253-0000", "+16502530000")
	wantNumber(t, p, "+39 06 1234 5678", "+390612345678") // numbers of Italy keep the leading zero
	wantNumber(t, mustParser(t, "US"), "011 967 771234567", want)
	wantNumber(t, mustParser(t, "AU"), "0011967771234567", want)
	wantNumber(t, mustParser(t, "AR"), "011 15 2345-6789", "+5491123456789")
}

func TestParser_PastedCharactersAround_AreTrimmed(t *testing.T) {
	t.Parallel()
	p := mustParser(t, "YE")
	for _, mark := range []string{
		"\u200e", "\u200f", "\u061c", "\u202a", "\u202b", "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069",
		"\n", "\r\n", "\t", "\v", "\f", "\u0085", "\u2028", "\u2029", " ", "\u00a0", "\u202f", "\u3000", "\u200b", "\u200c", "\u200d", "\u2060",
		"\ufeff", "\u00ad", "\u180e", " \u202a \u2068", "\ufeff\u200e\t",
	} {
		for _, number := range []string{"+967771234567", "0771234567", "٧٧١٢٣٤٥٦٧", "tel:+967-77-1234567", "(077) 1234567"} {
			for _, text := range []string{mark + number, number + mark, mark + number + mark} {
				wantNumber(t, p, text, "+967771234567")
			}
		}
	}
	wantNumber(t, p, "tel:\u202a+967771234567\u202c", "+967771234567")
}

func TestParser_OtherTexts_AreRejected(t *testing.T) {
	t.Parallel()
	p := mustParser(t, "YE")
	for _, text := range []string{
		"", "+", " ", "\u200e", "tel:", "hello", "+967", "+9671", "+96777123456789012", "+999123456789", "+0967771234567", "+00967771234567",
		"+96777123xxxx", "+96777123456O", "+96777123456o", "+967I71234567", "061234dgfs", "1-800-FLOWERS", "+967771234567 x", "+967771234567x5",
		"+967771234567 ext 5", "+967771234567 ext. 5", "+967771234567#5", "+967771234567,5", "+967771234567;ext=5", "tel:+967771234567;ext=5",
		"tel:771234567;phone-context=+967", "tel:+967771234567;isub=1", "tel:+967%20771234567", "tel:tel:+967771234567", "tel://+967771234567",
		"sms:+967771234567", "call +967771234567", "+967771234567 (Ali)", "Ali +967771234567", "+967771234567/772345678", "0771/234567",
		"+967+771234567", "++967771234567", "967771234567+", "00+967771234567", "*+967771234567", "*771234567", "771234567*", "~771234567", "_771234567",
		"771_234_567", "7.71234567e8", "0x2DF9B047", "-771234567", "771234567-", "+967771234567.", ".771234567", "+-967771234567",
		"(+967771234567", "+967)771234567", "+967(77]1234567", "+967((77))1234567", "+967()771234567", ")771234567(",
		"+96777\u200e1234567", "+967\u202e771234567", "+967\t771234567", "771234567\n772345678", "771234\n567", "+967\u00b2771234567",
		"+967\u2160771234567", "+967\u4e8c771234567", "+967771234567\x00", "+967771234\xff567", "\U0001f1fe\U0001f1ea771234567",
		"7\ufe0f\u20e371234567", "\u0967\u0000", "null", "\"+967771234567\"", "'+967771234567", "<+967771234567>", "=+967771234567", "@967771234567",
		strings.Repeat("9", 300), "+" + strings.Repeat("9", 300), strings.Repeat("(", 64), "199", "112",
	} {
		wantNumber(t, p, text, "")
	}
}

func TestParser_LocalAndShortNumbers_AreRejected(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		region, text string
		want         error
	}{
		{"YE", "+12530000", errLocalOnly},
		{"US", "253-0000", errLocalOnly},
		{"DE", "110", errLocalOnly},
		{"DE", "112", errLocalOnly},
		{"DE", "+49112", errLocalOnly},
		{"DE", "116117", errShort},
		{"YE", "+49116117", errShort},
		{"YE", "+49 116 117", errShort},
		{"DE", "115", errLocalOnly},
		{"US", "911", errTooShort},
		{"IN", "1073", errTooShort},
		{"SH", "911", errTooShort},
		{"YE", "+9677", errTooShort},
		{"YE", "+210123456789", errUnknownCode},
		{"FI", "+99046701234567", errUnknownCode}, // 990 is Finland's international prefix, but here it follows a +
	} {
		if got, err := mustParser(t, c.region).Parse(c.text); !errors.Is(err, c.want) {
			t.Errorf("%s: Parse(%q) = %s, %v, want %v", c.region, c.text, got, err, c.want)
		}
	}
}

func TestParser_ParseQuery_ReadsLeadingSpaceAsPlus(t *testing.T) {
	t.Parallel()
	p := mustParser(t, "DE")
	for value, want := range map[string]string{
		" 33612345678": "+33612345678", "+33612345678": "+33612345678", " +33612345678": "+33612345678", "\u202a 33612345678\u202c": "+33612345678",
		"tel: 33612345678": "+33612345678", "( 33) 612345678": "+33612345678", " 33 6 12 34 56 78": "+33612345678",
		"0171 2345678": "+491712345678", "01712345678 ": "+491712345678", "0033612345678": "+33612345678",
		" 01712345678": "", "  ": "", "+ 33612345678": "+33612345678",
	} {
		got, err := p.ParseQuery(value)
		if want == "" && err == nil || want != "" && (err != nil || got.String() != want) {
			t.Errorf("ParseQuery(%q) = %s, %v, want %q", value, got, err, want)
		}
	}
}

func TestDigitOf_EveryScript_CountsFromZero(t *testing.T) {
	t.Parallel()
	run := 0
	for r := rune(0); r <= unicode.MaxRune; r++ {
		value, ok := digitOf(r)
		if ok != unicode.Is(unicode.Nd, r) {
			t.Fatalf("digitOf(%U) reports %t, want the opposite", r, ok)
		}
		if !ok {
			if run%10 != 0 {
				t.Errorf("the digits before %U: got a run of %d, want a multiple of 10", r, run)
			}
			run = 0
			continue
		}
		if int(value) != run%10 {
			t.Errorf("digitOf(%U) = %d, want %d", r, value, run%10)
		}
		run++
	}
	for _, zero := range []rune{'0', 0x660, 0x6f0, 0x966, 0x9e6, 0xe50, 0xff10, 0x1d7ce, 0x1d7f6, 0x1fbf0} {
		if value, ok := digitOf(zero + 7); !ok || value != 7 {
			t.Errorf("digitOf(%U) = %d, %t, want 7", zero+7, value, ok)
		}
	}
}

// TestParser_FastPath_AgreesWithLibrary tries numbers of every country code, length and leading digit.
func TestParser_FastPath_AgreesWithLibrary(t *testing.T) {
	t.Parallel()
	p := mustParser(t, "YE")
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
				want, ok := library(text, "YE")
				if got, err := p.Parse(text); (err == nil) != ok || got != want {
					t.Errorf("%s: got %s, %v; the library returns %s, %t", text, got, err, want, ok)
				}
			}
		}
	}
	if fast < 500 {
		t.Errorf("got %d numbers on the fast path, want at least 500", fast)
	}
}

func TestParser_PlainE164_DoesNotAllocate(t *testing.T) {
	p := mustParser(t, "YE")
	if n := testing.AllocsPerRun(100, func() { _, _ = p.Parse("+967771234567") }); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

// FuzzParser_Parse checks that an accepted text contains exactly the digits of the result, in order, and that the library
// parses these digits to the same number.
func FuzzParser_Parse(f *testing.F) {
	for _, seed := range []string{
		"+967771234567", "+9670771234567", "\u202a+967 (77) 123-4567\u202c", "tel:+967-77-1234567", "061234dgfs", "+49116117", "٧٧١٢٣٤٥٦٧",
		strings.Repeat("9", 300),
	} {
		f.Add(seed)
	}
	p := mustParser(f, "YE")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := p.Parse(text)
		if err != nil {
			if got != 0 || !strings.Contains(err.Error(), "+967771234567") {
				t.Errorf("Parse(%q) = %s, %q; want an error with an example", text, got, err)
			}
			return
		}
		var digits strings.Builder
		for _, r := range text {
			switch d, ok := digitOf(r); {
			case ok:
				digits.WriteByte('0' + d)
			case r == '+' || r == '\uff0b':
				digits.WriteByte('+')
			case unicode.IsLetter(r) && !strings.ContainsRune("telTEL\u30fc", r):
				t.Errorf("Parse(%q) = %s, want an error for the letter %q", text, got, r)
			}
		}
		if want, ok := library(digits.String(), "YE"); !ok || got != want {
			t.Errorf("Parse(%q) = %s; for %s the library returns %s, %t", text, got, digits.String(), want, ok)
		}
	})
}

func TestNewParser_BadRegion_IsNamed(t *testing.T) {
	t.Parallel()
	if _, err := NewParser("Yemen"); err == nil || !strings.Contains(err.Error(), "Yemen") {
		t.Errorf("got error %v, want one that names the region", err)
	}
}

func BenchmarkParse(b *testing.B) {
	p := mustParser(b, "YE")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Parse("+967771234567"); err != nil {
			b.Fatal(err)
		}
	}
}
