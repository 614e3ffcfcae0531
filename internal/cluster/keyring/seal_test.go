package keyring

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/esh3artech/esh3ar"
)

// clock is a time that a test sets.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newClock() *clock { return &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func sealed(s *Sealer, context, text string) []byte { return s.Seal(nil, context, []byte(text)) }

// pair returns the sealers of two nodes that share a store.
func pair(c *clock) (a, b *Sealer) {
	ring := Generate(c.now)
	return ring.Sealer("hints"), ring.Sealer("hints")
}

func TestSealer_OfAnotherNode_Opens(t *testing.T) {
	t.Parallel()
	a, b := pair(newClock())
	for i := range 3 {
		want := fmt.Sprintf("text %d", i)
		got, err := b.Open("to b", sealed(a, "to b", want))
		if err != nil || string(got) != want {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
	}
	frame := sealed(a, "to b", "one-time code 4711")
	if bytes.Contains(frame, []byte("4711")) {
		t.Error("the text stands in the frame")
	}
	if len(frame) != len("one-time code 4711")+Overhead {
		t.Errorf("got %d bytes, want the text and %d", len(frame), Overhead)
	}
}

func TestSealer_AnyBitChanged_IsForged(t *testing.T) {
	t.Parallel()
	a, b := pair(newClock())
	frame := sealed(a, "to b", "text")
	for i := range 8 * len(frame) {
		bad := bytes.Clone(frame)
		bad[i/8] ^= 1 << (i % 8)
		if text, err := b.Open("to b", bad); !errors.Is(err, ErrForged) {
			t.Fatalf("bit %d: got %q, %v, want ErrForged", i, text, err)
		}
	}
	for n := range frame {
		if _, err := b.Open("to b", bytes.Clone(frame[:n])); !errors.Is(err, ErrForged) {
			t.Fatalf("%d bytes: got %v, want ErrForged", n, err)
		}
	}
	if _, err := b.Open("to b", frame); err != nil {
		t.Errorf("the frame itself: got %v", err)
	}
}

func TestSealer_ElsewhereOrByOthers_IsForged(t *testing.T) {
	t.Parallel()
	c := newClock()
	ring := Generate(c.now)
	a, b := ring.Sealer("hints"), ring.Sealer("hints")
	for name, frame := range map[string][]byte{
		"another channel":  sealed(a, "to c", "text"),
		"another purpose":  sealed(ring.Sealer("cache"), "to b", "text"),
		"another cluster":  sealed(Generate(c.now).Sealer("hints"), "to b", "text"),
		"no frame at all":  []byte("\x01text"),
		"an empty message": nil,
	} {
		if text, err := b.Open("to b", frame); !errors.Is(err, ErrForged) {
			t.Errorf("%s: got %q, %v, want ErrForged", name, text, err)
		}
	}
}

func TestSealer_Repeated_IsRefused(t *testing.T) {
	t.Parallel()
	a, b := pair(newClock())
	var frames [][]byte
	for i := range 100 {
		frames = append(frames, sealed(a, "to b", fmt.Sprint(i)))
	}
	for _, i := range []int{50, 0, 99, 51, 1} { // in any order, as several goroutines send
		if _, err := b.Open("to b", bytes.Clone(frames[i])); err != nil {
			t.Errorf("frame %d: got %v", i, err)
		}
	}
	for _, i := range []int{50, 0, 99, 51, 1} {
		if _, err := b.Open("to b", bytes.Clone(frames[i])); !errors.Is(err, ErrRepeated) {
			t.Errorf("frame %d again: got %v, want ErrRepeated", i, err)
		}
	}
}

func TestSealer_OldOrEarly_IsStale(t *testing.T) {
	t.Parallel()
	c := newClock()
	a, b := pair(c)
	held := sealed(a, "to b", "held back")
	c.at = c.at.Add(Freshness + time.Millisecond)
	if _, err := b.Open("to b", held); !errors.Is(err, ErrStale) {
		t.Errorf("held back: got %v, want ErrStale", err)
	}
	early := sealed(a, "to b", "of a clock that is ahead")
	c.at = c.at.Add(-Freshness - time.Millisecond)
	if _, err := b.Open("to b", early); !errors.Is(err, ErrStale) {
		t.Errorf("early: got %v, want ErrStale", err)
	}
	before := sealed(a, "to b", "to the run before")
	c.at = c.at.Add(time.Second)
	if _, err := a.ring.Sealer("hints").Open("to b", before); !errors.Is(err, ErrStale) {
		t.Errorf("sealed before the receiver's start: got %v, want ErrStale", err)
	}
}

func TestSealer_Stored_OpensUntilItsTime(t *testing.T) {
	t.Parallel()
	c := newClock()
	a, b := pair(c)
	frame := a.SealUntil(nil, "key", []byte("value"), c.at.Add(time.Minute))
	for range 2 {
		if text, err := b.OpenStored("key", bytes.Clone(frame)); err != nil || string(text) != "value" {
			t.Errorf("got %q, %v, want value", text, err)
		}
	}
	if _, err := b.OpenStored("another", bytes.Clone(frame)); !errors.Is(err, ErrForged) {
		t.Errorf("under another key: got %v, want ErrForged", err)
	}
	c.at = c.at.Add(time.Minute)
	if _, err := b.OpenStored("key", frame); !errors.Is(err, ErrStale) {
		t.Errorf("after its time: got %v, want ErrStale", err)
	}
}

func TestSealer_ManyPeers_BoundedMemory(t *testing.T) {
	t.Parallel()
	c := newClock()
	ring := Generate(c.now)
	b := ring.Sealer("hints")
	for range 3 * maxPeers {
		if _, err := b.Open("to b", sealed(ring.Sealer("hints"), "to b", "text")); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(b.peers.all); n > maxPeers {
		t.Errorf("got %d peers, want at most %d", n, maxPeers)
	}
	stranger := Generate(c.now)
	for range 100 {
		_, _ = b.Open("to b", sealed(stranger.Sealer("hints"), "to b", "text"))
	}
	c.at = c.at.Add(3 * Freshness)
	if _, err := b.Open("to b", sealed(ring.Sealer("hints"), "to b", "text")); err != nil {
		t.Fatal(err)
	}
	if n := len(b.peers.all); n != 1 {
		t.Errorf("after a silence: got %d peers, want 1", n)
	}
}

func TestWindow_AgainstASet(t *testing.T) {
	t.Parallel()
	var w window
	seen := map[uint64]bool{}
	state, newest := uint64(1), uint64(0)
	for range 200_000 {
		state = state*6364136223846793005 + 1442695040888963407
		counter := newest + state>>60                                 // a random number below 16: the upper bits of this generator are the random ones
		if back := state >> 40 % (windowSize + 100); back < counter { // a random step back, at times beyond the window
			counter -= back
		}
		if state>>50%1000 == 0 { // one time in a thousand
			counter += 2 * windowSize
		}
		newest = max(newest, counter)
		want := counter > 0 && counter+windowSize > newest && !seen[counter]
		if got := w.add(counter); got != want {
			t.Fatalf("counter %d of newest %d: got %v, want %v", counter, newest, got, want)
		}
		seen[counter] = true
	}
}

func TestRing_Rotated_OldFramesOpenUntilTheKeyEnds(t *testing.T) {
	t.Parallel()
	c := newClock()
	first := Key{Secret: NewSecret()}
	ring, err := New(c.now, first)
	if err != nil {
		t.Fatal(err)
	}
	a, b := ring.Sealer("hints"), ring.Sealer("hints")
	before := sealed(a, "to b", "before")
	end := c.at.Add(time.Hour)
	ended := first
	ended.EndsAt = timeOf(end)
	second := Key{Secret: NewSecret(), SignsFrom: timeOf(c.at.Add(10 * time.Second))}
	if err := ring.Set([]Key{second, ended}); err != nil {
		t.Fatal(err)
	}
	if id, _ := ring.Signing(); id != first.ID() {
		t.Error("a new key signs before its time")
	}
	c.at = c.at.Add(10 * time.Second)
	if id, _ := ring.Signing(); id != second.ID() {
		t.Error("the new key does not sign at its time")
	}
	after := sealed(a, "to b", "after")
	for _, frame := range [][]byte{before, after} {
		if _, err := b.Open("to b", frame); err != nil {
			t.Errorf("got %v", err)
		}
	}
	late := first.sealer(t, c)
	c.at = end
	if _, err := b.Open("to b", sealed(late, "to b", "by the old key")); !errors.Is(err, ErrForged) {
		t.Errorf("after the end of the key: got %v, want ErrForged", err)
	}
}

func (k Key) sealer(t *testing.T, c *clock) *Sealer {
	t.Helper()
	ring, err := New(c.now, k)
	if err != nil {
		t.Fatal(err)
	}
	return ring.Sealer("hints")
}

func TestSignature_SignAndVerify_Table(t *testing.T) {
	t.Parallel()
	c := newClock()
	first, second := Key{Secret: NewSecret()}, Key{Secret: NewSecret(), SignsFrom: 1}
	ring, err := New(c.now, first, second)
	if err != nil {
		t.Fatal(err)
	}
	text := []byte(`{"url":"http://node"}`)
	signatures := ring.Sign("registry n", text)
	one, err := ParsePublic(ring.Public()[:1])
	if err != nil {
		t.Fatal(err)
	}
	both, err := ParsePublic(ring.Public())
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := ParsePublic(Generate(c.now).Public())
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		v    Verifier
		want bool
	}{"the ring": {ring, true}, "one key": {one, true}, "both keys": {both, true}, "no key": {new(PublicKeys), false}, "another cluster": {foreign, false}} {
		if got := test.v.Verify("registry n", text, signatures); got != test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
		if test.v.Verify("registry m", text, signatures) || test.v.Verify("registry n", append(text, ' '), signatures) || test.v.Verify("registry n", text, nil) {
			t.Errorf("%s verifies what was not signed", name)
		}
		if test.v.Verify("registry n", text, Signatures{"": nil, "zz": {1}, first.ID(): make([]byte, 64), second.ID(): nil}) {
			t.Errorf("%s verifies no signature", name)
		}
	}
	for _, bad := range []string{"", "epk_", string(first.Secret), ring.Public()[0] + "A", strings.TrimPrefix(ring.Public()[0], publicPrefix)} {
		if _, err := ParsePublic([]string{bad}); err == nil {
			t.Errorf("%q is taken for a public key", bad)
		}
	}
}

func TestKey_Derive_Purposes(t *testing.T) {
	t.Parallel()
	k := Key{Secret: NewSecret()}
	if bytes.Equal(k.Derive("a", 32), k.Derive("b", 32)) || !bytes.Equal(k.Derive("a", 32), k.Derive("a", 32)) {
		t.Error("a key is not derived by its purpose")
	}
	if _, err := New(time.Now, Key{Secret: k.Secret[:31]}); err == nil {
		t.Error("a short secret is taken")
	}
	if _, err := New(time.Now); err == nil {
		t.Error("no key is taken for a ring")
	}
}

func BenchmarkSeal(b *testing.B) {
	s, _ := pair(&clock{time.Now()})
	text, dst := make([]byte, 300), make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		dst = s.Seal(dst[:0], "esh3ar:cluster:h:{node}", text)
	}
}

func BenchmarkOpen(b *testing.B) {
	s, r := pair(&clock{time.Now()})
	text := make([]byte, 300)
	frames := make([][]byte, b.N)
	for i := range frames {
		frames[i] = s.Seal(nil, "esh3ar:cluster:h:{node}", text)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, frame := range frames {
		if _, err := r.Open("esh3ar:cluster:h:{node}", frame); err != nil {
			b.Fatal(err)
		}
	}
}

func timeOf(t time.Time) esh3ar.Time { return esh3ar.TimeOf(t) }
