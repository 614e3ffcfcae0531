package gateway

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func newLine() (*waitQueue, *shares) {
	s := &shares{usages: map[owner]*usage{}}
	return &waitQueue{shares: s}, s
}

// TestWaitQueue_ManyCallsOfOneOwner_DelayOthersByOneEach checks the round-robin order of owners.
func TestWaitQueue_ManyCallsOfOneOwner_DelayOthersByOneEach(t *testing.T) {
	t.Parallel()
	l, s := newLine()
	for i := range 100 {
		l.add(&waiter{who: owner{hash: uint64(i % 50)}}) // strangers with fifty addresses
	}
	late := &waiter{who: owner{hash: 1000, proven: true}}
	l.add(late)
	served := 0
	l.serve(func(*waiter) bool { return true }, func(w *waiter) bool { served++; return w != late })
	if served > 2 {
		t.Errorf("the known caller is served as number %d, want 1 or 2", served)
	}
	l.remove(late)
	all := func(*waiter) bool { return true }
	l.serve(all, all)
	if l.length != 0 || len(s.usages) != 0 || s.strangers[queuePlaces] != 0 {
		t.Errorf("%d calls in line, %d owners, %d places of strangers; want none", l.length, len(s.usages), s.strangers[queuePlaces])
	}
}

// TestWaitQueue_RandomHistory_MatchesModel compares the queue with a plain list.
func TestWaitQueue_RandomHistory_MatchesModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l, s := newLine()
		var model []*waiter
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			switch n := rapid.IntRange(0, 2).Draw(t, "step"); {
			case n == 0:
				w := &waiter{who: owner{uint64(rapid.IntRange(0, 4).Draw(t, "owner")), rapid.Bool().Draw(t, "proven")}}
				l.add(w)
				model = append(model, w)
			case n == 1 && len(model) > 0:
				at := rapid.IntRange(0, len(model)-1).Draw(t, "which")
				l.remove(model[at])
				model = append(model[:at:at], model[at+1:]...)
			case n == 2:
				left := 1
				l.serve(func(*waiter) bool { return true }, func(w *waiter) bool {
					left--
					if left < 0 {
						return false
					}
					for at, other := range model {
						if other.who == w.who && other != w {
							t.Fatalf("a newer call of %v is served before an older one", w.who)
						}
						if other == w {
							model = append(model[:at:at], model[at+1:]...)
							return true
						}
					}
					t.Fatal("a call was served that is not in the queue")
					return false
				})
			}
			has := map[owner]int{}
			for _, w := range model {
				has[w.who]++
			}
			if l.length != len(model) || len(s.usages) != len(has) {
				t.Fatalf("%d calls of %d owners, want %d of %d", l.length, len(s.usages), len(model), len(has))
			}
			for who, n := range has {
				if s.usages[who].has[queuePlaces] != n {
					t.Fatalf("%v has %d places, want %d", who, s.usages[who].has[queuePlaces], n)
				}
			}
		}
	})
}

// TestShares_GreedyOwners_LeaveRoom checks how much one address, many addresses and one proven owner can take of a resource.
func TestShares_GreedyOwners_LeaveRoom(t *testing.T) {
	t.Parallel()
	const total = 1200
	for name, c := range map[string]struct {
		owners    int
		proven    bool
		low, high int
	}{
		"one address":       {1, false, 800, 801},
		"ten addresses":     {10, false, 890, 900},
		"one known caller":  {1, true, 1080, 1081},
		"ten known callers": {10, true, 1150, 1200},
	} {
		s, used := shares{usages: map[owner]*usage{}}, 0
		for taken := true; taken; {
			taken = false
			for i := range c.owners {
				who := owner{uint64(i), c.proven}
				if s.mayTake(who, slots, amount{total, used}) {
					s.take(who, slots)
					used++
					taken = true
				}
			}
		}
		if used < c.low || used > c.high {
			t.Errorf("%s: %d of %d, want %d to %d", name, used, total, c.low, c.high)
		}
	}
}

// TestShares_Retries_AreBoundedPerOwner checks that one owner cannot use up the retry budget, and that its share recovers.
func TestShares_Retries_AreBoundedPerOwner(t *testing.T) {
	t.Parallel()
	s, now := shares{usages: map[owner]*usage{}}, time.Unix(1_800_000_000, 0)
	spend := func(who owner, left int) (n int) {
		for left > 0 && s.mayRepeat(who, float64(left), now) {
			left--
			n++
		}
		return n
	}
	if n := spend(owner{hash: 1}, 100); n < 60 || n > 67 {
		t.Errorf("an address repeats %d of 100, want two thirds", n)
	}
	if n := spend(owner{2, true}, 33); n < 28 || n > 33 {
		t.Errorf("a known caller beside it repeats %d of 33, want most of them", n)
	}
	now = now.Add(time.Minute)
	if n := spend(owner{hash: 1}, 100); n < 60 {
		t.Errorf("a minute later the address repeats %d of 100, want two thirds", n)
	}
	now = now.Add(time.Hour)
	s.sweep(now)
	if len(s.usages) != 0 {
		t.Errorf("%d owners are remembered an hour later, want none", len(s.usages))
	}
}
