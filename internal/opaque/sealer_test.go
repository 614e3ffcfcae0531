package opaque_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/opaque"
)

func sealer(t testing.TB, seed byte) *opaque.Sealer {
	t.Helper()
	s, err := opaque.New([]byte(strings.Repeat(string(rune('a'+seed)), opaque.SecretSize)), 0)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSealer_SealedText_OpensForItsBusinessAndUseOnly(t *testing.T) {
	t.Parallel()
	s, business := sealer(t, 0), esh3ar.NewBusinessID()
	for _, text := range []string{"", "a", "0000000000000001", strings.Repeat("x", opaque.MaxText)} {
		sealed := s.Seal(opaque.Events, business, text)
		if got, err := sealer(t, 0).Open(opaque.Events, business, sealed); err != nil || got != text {
			t.Errorf("Open: got %q, %v, want %q", got, err, text)
		}
		for name, open := range map[string]func() (string, error){
			"another business": func() (string, error) { return s.Open(opaque.Events, esh3ar.NewBusinessID(), sealed) },
			"another use":      func() (string, error) { return s.Open(opaque.Messages, business, sealed) },
			"another secret":   func() (string, error) { return sealer(t, 1).Open(opaque.Events, business, sealed) },
			"unsealed text":    func() (string, error) { return s.Open(opaque.Events, business, text) },
			"longer text":      func() (string, error) { return s.Open(opaque.Events, business, sealed+"AAAA") },
		} {
			if got, err := open(); !errors.Is(err, opaque.ErrUnknown) {
				t.Errorf("%s: got %q, %v, want ErrUnknown", name, got, err)
			}
		}
	}
}

func TestSealer_AnyChangedCharacter_IsRefused(t *testing.T) {
	t.Parallel()
	s, business := sealer(t, 0), esh3ar.NewBusinessID()
	sealed := s.Seal(opaque.Events, business, "0000000000000001")
	for i := range sealed {
		for _, c := range "A9_" {
			changed := sealed[:i] + string(c) + sealed[i+1:]
			if _, err := s.Open(opaque.Events, business, changed); changed != sealed && !errors.Is(err, opaque.ErrUnknown) {
				t.Errorf("character %d changed to %c: got %v, want ErrUnknown", i, c, err)
			}
		}
	}
}

func TestSealer_NeighbouringPositions_HaveNothingInCommon(t *testing.T) {
	t.Parallel()
	s, business := sealer(t, 0), esh3ar.NewBusinessID()
	a, b := s.Seal(opaque.Events, business, "0000000000000001"), s.Seal(opaque.Events, business, "0000000000000002")
	same := 0
	for i := range a {
		if a[i] == b[i] {
			same++
		}
	}
	if len(a) != len(b) || same > len(a)/4 {
		t.Errorf("got %s and %s with %d of %d characters in common, want at most a quarter", a, b, same, len(a))
	}
	if again := s.Seal(opaque.Events, business, "0000000000000001"); again != a {
		t.Errorf("sealed again: got %s, want %s", again, a)
	}
}

func FuzzOpen(f *testing.F) {
	s, business := sealer(f, 0), esh3ar.NewBusinessID()
	f.Add(s.Seal(opaque.Events, esh3ar.NewBusinessID(), "x"))
	f.Add("")
	f.Add("0000000000000001")
	f.Fuzz(func(t *testing.T, sealed string) {
		if text, err := s.Open(opaque.Events, business, sealed); err == nil && s.Seal(opaque.Events, business, text) != sealed {
			t.Errorf("%q: opened to %q, got another text when sealed again", sealed, text)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	s, business := sealer(b, 0), esh3ar.NewBusinessID()
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = s.AppendSealed(dst[:0], opaque.Events, business, "0000000000000001")
	}
}

func TestSealer_AnotherHistory_IsEarlier(t *testing.T) {
	secret := []byte(strings.Repeat("s", opaque.SecretSize))
	open := func(history uint32) *opaque.Sealer {
		s, err := opaque.New(secret, history)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	business := esh3ar.NewBusinessID()
	sealed := open(0).Seal(opaque.Events, business, "0000000000000007")
	if text, err := open(1).Open(opaque.Events, business, sealed); !errors.Is(err, opaque.ErrEarlier) || !errors.Is(err, opaque.ErrUnknown) {
		t.Errorf("got %q, %v, want %v", text, err, opaque.ErrEarlier)
	}
	if _, err := open(1).Open(opaque.Events, esh3ar.NewBusinessID(), sealed); errors.Is(err, opaque.ErrEarlier) || !errors.Is(err, opaque.ErrUnknown) {
		t.Errorf("another business: got %v, want %v and no word of a history", err, opaque.ErrUnknown)
	}
	if text, err := open(0).Open(opaque.Events, business, sealed); err != nil || text != "0000000000000007" {
		t.Errorf("its own history: got %q, %v", text, err)
	}
}
