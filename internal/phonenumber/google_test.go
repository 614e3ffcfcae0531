package phonenumber

import (
	"bufio"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/nyaruka/phonenumbers"
)

// google is Google's own library in a Node process, which answers line by line. Its version in e2e/package.json must have
// the same numbering plans as the version of the Go module; raise them together.
type google struct {
	sync.Mutex
	in  io.WriteCloser
	out *bufio.Reader
}

// newGoogle starts the process. It skips the test with -short.
func newGoogle(t testing.TB) *google {
	t.Helper()
	if testing.Short() {
		t.Skip("needs Node")
	}
	if _, err := os.Stat("../../e2e/node_modules/google-libphonenumber"); err != nil {
		t.Fatal("google-libphonenumber is not installed; run `make deps`")
	}
	cmd := exec.Command("node", "phonenumbers.mjs")
	cmd.Dir = "../../e2e"
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return &google{in: in, out: bufio.NewReader(out)}
}

// ask returns the result of Google's library for a text: a number in E.164, or a reason.
func (g *google) ask(t testing.TB, region, text string) string {
	t.Helper()
	line, err := json.Marshal([]string{region, text})
	if err != nil {
		t.Fatal(err)
	}
	g.Lock()
	defer g.Unlock()
	if _, err := g.in.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	answer, err := g.out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(answer, "\n")
}

// compare checks one text against Google's library. An accepted text must yield Google's number. A rejected text that is
// written like a phone number must not be one for Google, except after a + that no country code follows: Google drops that
// plus.
func (g *google) compare(t testing.TB, p *Parser, text string) (accepted bool) {
	t.Helper()
	got, err := p.Parse(text)
	written, misspelt := scan(nil, text, false)
	if misspelt != nil {
		if err == nil {
			t.Errorf("%s: Parse(%q) = %s, want an error: %v", p.region, text, got, misspelt)
		}
		return false
	}
	digits := string(written)
	want := g.ask(t, p.region, digits)
	switch {
	case err == nil && !same(got.String(), want):
		t.Errorf("%s: Parse(%q) = %s, want Google's result for %s: %s", p.region, text, got, digits, want)
	case err != nil && want[0] == '+' && !g.tolerated(digits, p, want):
		t.Errorf("%s: Parse(%q): %v; Google's result for %s: %s", p.region, text, err, digits, want)
	case err == nil && plainASCII(text):
		if whole := g.ask(t, p.region, text); whole != want {
			t.Errorf("%s: Google's result for %q is %s, for %s it is %s", p.region, text, whole, digits, want)
		}
	}
	return err == nil
}

// same compares numbers. JavaScript rounds national numbers of more than 15 digits.
func same(ours, theirs string) bool {
	if exact := 16; len(ours) > exact && len(ours) == len(theirs) {
		return ours[:exact] == theirs[:exact]
	}
	return ours == theirs
}

// tolerated reports whether this package may reject what Google's library accepts.
func (g *google) tolerated(digits string, p *Parser, want string) bool {
	if digits[0] == '+' && !p.knownCode(digits[1:]) {
		return true
	}
	// Emergency numbers of countries in which they are as long as other numbers: the JavaScript library is queried for short
	// numbers only.
	number, err := phonenumbers.Parse(want, "")
	return err == nil && short(number)
}

// plainASCII reports whether Google's library accepts every character of the text.
func plainASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > '~' || r < ' ' }) && !strings.HasPrefix(strings.ToLower(text), "tel:")
}

var regions = []string{"YE", "DE", "US", "FI", "AR", "BR", "IT", "AU", "GB", "MX", "JP", "KR", "RU", "SM", "AG", "EG", "IN", "FR", "CN", "NZ"}

// TestParser_ExamplesOfAllCountries_AgreeWithGoogle formats Google's examples of every country and kind in all its formats.
func TestParser_ExamplesOfAllCountries_AgreeWithGoogle(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	accepted := 0
	total := 0
	for region := range phonenumbers.GetSupportedRegions() {
		p := mustParser(t, region)
		for kind := phonenumbers.FIXED_LINE; kind <= phonenumbers.VOICEMAIL; kind++ {
			number := phonenumbers.GetExampleNumberForType(region, kind)
			if number == nil {
				continue
			}
			for _, format := range []phonenumbers.PhoneNumberFormat{phonenumbers.E164, phonenumbers.INTERNATIONAL, phonenumbers.NATIONAL, phonenumbers.RFC3966} {
				total++
				text := phonenumbers.Format(number, format)
				if g.compare(t, p, text) {
					accepted++
				} else {
					t.Logf("%s: %q is rejected", region, text)
				}
			}
		}
	}
	if accepted < total*99/100 || total < 1000 {
		t.Errorf("accepted %d of %d examples, want 99 %% of at least 1000", accepted, total)
	}
}

// TestParser_RandomNumbers_AgreeWithGoogle tries numbers of many lengths, prefixes, formats and regions.
func TestParser_RandomNumbers_AgreeWithGoogle(t *testing.T) {
	t.Parallel()
	g := newGoogle(t)
	random := rand.New(rand.NewPCG(7, 7))
	accepted := 0
	for range 6000 {
		p := mustRegion(t, regions[random.IntN(len(regions))])
		if g.compare(t, p, randomText(random)) {
			accepted++
		}
	}
	if accepted < 500 {
		t.Errorf("accepted %d numbers, want at least 500", accepted)
	}
}

var known sync.Map // parsers by region; creating one takes time

func mustRegion(t testing.TB, region string) *Parser {
	if p, ok := known.Load(region); ok {
		return p.(*Parser) //nolint:forcetypeassert // nothing else is stored
	}
	p := mustParser(t, region)
	known.Store(region, p)
	return p
}

// randomText returns a random number: a prefix, perhaps a country code, and digits with separators.
func randomText(random *rand.Rand) string {
	prefixes := []string{"+", "+", "00", "0", "", "011", "(0)", "810", "+0", "tel:+", "1", "0015"}
	text := prefixes[random.IntN(len(prefixes))]
	if random.IntN(2) == 0 {
		codes := phonenumbers.GetSupportedCallingCodes()
		list := make([]int, 0, len(codes))
		for code := range codes {
			list = append(list, code)
		}
		slices.Sort(list)
		text += strconv.Itoa(list[random.IntN(len(list))])
	}
	separators := []string{"", "", "", "", "", " ", "-", ".", " - ", "\u00a0"}
	for range 1 + random.IntN(14) {
		text += strconv.Itoa(random.IntN(10)) + separators[random.IntN(len(separators))]
	}
	return strings.TrimRight(text, " .-\u00a0")
}

// FuzzParser_Google is the fuzz form of the tests above.
func FuzzParser_Google(f *testing.F) {
	for i, seed := range []string{"+967771234567", "0171 2345678", "+12530000", "061234dgfs", "tel:+49-116-117", "(011) 15-2345-6789", "+990461234567"} {
		f.Add(seed, byte(i))
	}
	g := newGoogle(f)
	f.Fuzz(func(t *testing.T, text string, region byte) {
		g.compare(t, mustRegion(t, regions[int(region)%len(regions)]), text)
	})
}
