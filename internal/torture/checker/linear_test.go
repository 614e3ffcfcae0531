package checker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

func soon() time.Time { return time.Now().Add(time.Minute) }

// TestKeyModel checks short histories of one key: possible ones must be accepted, impossible ones refused.
func TestKeyModel(t *testing.T) {
	t.Parallel()
	ok := func(call int, id string, began, at int64) keyCall { return keyCall{Accepted, call, id, began, at} }
	mismatch := func(call int, began, at int64) keyCall { return keyCall{Mismatched, call, "", began, at} }
	lost := func(call int, began int64) keyCall { return keyCall{Unknown, call, "", began, began + 1} }
	refused := func(call int, began, at int64) keyCall { return keyCall{Refused, call, "", began, at} }
	for name, c := range map[string]struct {
		calls []keyCall
		fits  bool
	}{
		"twins":                         {[]keyCall{ok(1, "a", 0, 9), ok(1, "a", 1, 5)}, true},
		"twins with two ids":            {[]keyCall{ok(1, "a", 0, 9), ok(1, "b", 1, 5)}, false},
		"another body":                  {[]keyCall{ok(1, "a", 0, 9), mismatch(2, 1, 5)}, true},
		"another body, accepted":        {[]keyCall{ok(1, "a", 0, 9), ok(2, "b", 1, 5)}, false},
		"both mismatched":               {[]keyCall{mismatch(1, 0, 9), mismatch(2, 1, 5)}, false},
		"mismatched before":             {[]keyCall{mismatch(2, 0, 1), ok(1, "a", 2, 3)}, false},
		"mismatched with its own body":  {[]keyCall{ok(1, "a", 0, 1), mismatch(1, 2, 3)}, false},
		"no answer, then one":           {[]keyCall{lost(1, 0), ok(1, "a", 2, 3), ok(1, "a", 4, 5)}, true},
		"no answer, then two ids":       {[]keyCall{lost(1, 0), ok(1, "a", 2, 3), ok(1, "b", 4, 5)}, false},
		"no answer and no effect":       {[]keyCall{lost(1, 0), ok(2, "b", 2, 3), ok(2, "b", 4, 5)}, true},
		"no answer, effect later":       {[]keyCall{lost(1, 0), refused(2, 2, 3), mismatch(2, 4, 5)}, true},
		"no answer, effect in between":  {[]keyCall{lost(1, 0), ok(2, "b", 2, 3), mismatch(2, 4, 5)}, false},
		"refused, then accepted":        {[]keyCall{refused(1, 0, 1), ok(2, "b", 2, 3)}, true},
		"refused and yet taken":         {[]keyCall{refused(1, 0, 1), mismatch(2, 2, 3)}, false},
		"two without, one of them took": {[]keyCall{lost(1, 0), lost(2, 0), ok(2, "b", 4, 5), mismatch(1, 6, 7)}, true},
		"two without, both of them":     {[]keyCall{lost(1, 0), lost(2, 0), ok(2, "b", 4, 5), ok(1, "a", 6, 7)}, false},
	} {
		if got := linearizable(keyModel, keyHistory(c.calls), soon()); (got == porcupine.Ok) != c.fits {
			t.Errorf("%s: %s", name, got)
		}
	}
	broken := []keyCall{lost(1, 0), ok(1, "a", 2, 9), ok(1, "b", 4, 20), ok(1, "b", 30, 31)}
	if c := firstBroken(broken, soon()); c.at != 20 {
		t.Errorf("culprit: got %+v", c)
	}
}

// TestInboxModel checks random concurrent histories of a correct log, in which many calls get no answer. Then it changes
// one answer and expects a breach.
func TestInboxModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		l, enters, looks := play(random, 300)
		if got := linearizable(l.model(), logHistory(enters, looks), soon()); got != porcupine.Ok {
			t.Fatalf("seed %d: %s, by %s", seed, got, l.culprit(enters, looks, soon()))
		}
		what := breakOne(random, l, enters, looks)
		if got := linearizable(l.model(), logHistory(enters, looks), soon()); got != porcupine.Illegal {
			t.Fatalf("seed %d, %s: %s", seed, what, got)
		}
		if text := l.culprit(enters, looks, soon()); text == "" {
			t.Fatalf("seed %d, %s: got no culprit", seed, what)
		}
	}
}

// play generates the history of a log. At each tick one operation takes effect; it was called some ticks before and is
// answered some ticks later, or never.
func play(random *rand.Rand, ticks int) (*log, []appendOp, []syncAnswer) {
	l := &log{base: 7}
	var enters []appendOp
	var looks []syncAnswer
	for tick := range ticks {
		now := int64(tick+100) * 10
		began, at := now-random.Int64N(100), now+random.Int64N(100)
		if random.IntN(3) > 0 {
			from := l.base + uint64(len(l.slots)) + 1
			for range 1 + random.IntN(3) {
				l.slots = append(l.slots, logSlot{number: 1000 + len(l.slots), optional: random.IntN(5) == 0})
			}
			if random.IntN(5) == 0 {
				at = never
			}
			enters = append(enters, appendOp{from, l.base + uint64(len(l.slots)), began, at})
			continue
		}
		k := syncAnswer{after: l.base + uint64(random.IntN(len(l.slots)+1)), limit: 1 + random.IntN(20), began: began, at: at}
		for i := int(k.after - l.base); i < len(l.slots) && len(k.found) < k.limit; i++ {
			if !l.slots[i].optional || random.IntN(2) == 0 {
				k.found = append(k.found, Slot{Seq: l.base + uint64(i) + 1, Number: l.slots[i].number})
			}
		}
		looks = append(looks, k)
	}
	return l, enters, looks
}

// breakOne makes one answer wrong.
func breakOne(random *rand.Rand, l *log, enters []appendOp, looks []syncAnswer) string {
	looks = slices.DeleteFunc(slices.Clone(looks), func(k syncAnswer) bool {
		return len(k.found) < 2 || l.slots[k.found[0].Seq-l.base-1].optional
	})
	found := looks[random.IntN(len(looks))].found // shared with the history
	switch random.IntN(3) {
	case 0:
		found[0].Number++
		return fmt.Sprintf("another message in %v", found)
	case 1:
		found[0], found[1] = found[1], found[0]
		return fmt.Sprintf("order of %v", found)
	default:
		i := 10 + random.IntN(len(enters)-20)
		enters[i].at, enters[i].began = enters[0].began-1, enters[0].began-2
		return fmt.Sprintf("append %v before its time", enters[i])
	}
}

// TestLog_LongHistory_IsTruncated checks that the rest is decided, and that Syncs which may have seen more are left out.
func TestLog_LongHistory_IsTruncated(t *testing.T) {
	t.Parallel()
	l, enters, looks := play(rand.New(rand.NewPCG(1, 1)), 12_000)
	cut, kept := bounded(enters, looks)
	if len(cut) != maxAppends || len(kept) == 0 || len(kept) == len(looks) {
		t.Fatalf("%d of %d appends, %d of %d syncs", len(cut), len(enters), len(kept), len(looks))
	}
	if got := linearizable(l.model(), logHistory(cut, kept), soon()); got != porcupine.Ok {
		t.Errorf("%s", got)
	}
}

// TestVerdict_Undecided_IsNotClean checks that a timeout is neither a breach nor a proof.
func TestVerdict_Undecided_IsNotClean(t *testing.T) {
	t.Parallel()
	l, enters, looks := play(rand.New(rand.NewPCG(1, 1)), 100)
	var v Verdict
	if v.Inboxes.check(l.model(), logHistory(enters, looks), time.Now()) || v.Inboxes.Undecided != 1 || v.Clean() || v.Breaches != 0 {
		t.Errorf("%+v", v)
	}
}
