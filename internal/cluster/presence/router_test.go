package presence_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/cluster/membership"
	"github.com/esh3artech/esh3ar/internal/cluster/presence"
	"github.com/esh3artech/esh3ar/internal/testkit/clustersim"
)

func TestHintsFindTheNodesOfTheirRecipients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		a, b, d := start(t, c, "a"), start(t, c, "b"), start(t, c, "d")
		a.open(alice, 1)
		b.open(alice, 2)
		d.open(bob, 3)
		synctest.Wait()
		a.router.Enqueue([]presence.Hint{hint(alice, 1), hint(bob, 1), hint(alice, 2), hint(alice, 3)})
		b.heard(t, "1/1", "1/2", "1/3")
		d.heard(t, "2/1")
		a.heard(t) // what it told
		a.absent(t)
	})
}

func TestWhoIsConnectedNowhereIsAbsent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		a, b := start(t, c, "a"), start(t, c, "b")
		a.open(bob, 1)
		a.router.Enqueue([]presence.Hint{
			hint(alice, 1), hint(bob, 1), {Kind: presence.Acknowledged, Recipient: alice}, {Kind: presence.EndedUnacked, Recipient: alice},
		})
		a.absent(t, "1/1") // and not of what ended, which is no message that waits
		b.heard(t)
	})
}

func TestNobodyIsAbsentWhilePresenceDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for _, hangs := range []bool{false, true} {
		t.Run(fmt.Sprintf("hangs: %t", hangs), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := clustersim.New()
				a := start(t, c, "a")
				c.Away(true, hangs)
				a.router.Enqueue([]presence.Hint{hint(alice, 1)})
				time.Sleep(time.Minute)
				a.absent(t)
				if a.mu.unrouted != 1 || a.mu.errors["look presence up"] != 1 {
					t.Errorf("unrouted %d times, errors %v", a.mu.unrouted, a.mu.errors)
				}
				c.Away(false, false)
				a.router.Enqueue([]presence.Hint{hint(alice, 2)})
				a.absent(t, "1/2")
			})
		})
	}
}

// TestAStaleEntryIsTakenBackAndItsHintSentOn: the phone has moved from b to d, and b still says that it is there.
func TestAStaleEntryIsTakenBackAndItsHintSentOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		a, b, d := start(t, c, "a"), start(t, c, "b"), start(t, c, "d")
		c.Bend(func(to membership.NodeID, hints []presence.Hint) []clustersim.Delivery {
			if to == "b" { // d has just come, and the look-up had not seen it
				d.open(alice, 1)
			}
			return []clustersim.Delivery{{To: to, Hints: hints, After: time.Millisecond}}
		})
		c.Plant("b", alice)
		a.router.Enqueue([]presence.Hint{hint(alice, 1)})
		time.Sleep(time.Second)
		d.heard(t, "1/1")
		b.heard(t)
		says(t, c, alice, "d")
		for _, desk := range []*desk{a, b, d} {
			desk.absent(t)
		}
	})
}

// TestAStaleEntryOfNobodyEndsAsAbsent is a phone that left without another one coming.
func TestAStaleEntryOfNobodyEndsAsAbsent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		a, b := start(t, c, "a"), start(t, c, "b")
		c.Bend(func(to membership.NodeID, hints []presence.Hint) []clustersim.Delivery { // later than what takes entries back
			return []clustersim.Delivery{{To: to, Hints: hints, After: time.Millisecond}}
		})
		c.Plant("a", alice)
		c.Plant("b", alice)
		a.router.Enqueue([]presence.Hint{hint(alice, 1)})
		time.Sleep(time.Second)
		says(t, c, alice)
		if got := slices.Concat(a.mu.absent, b.mu.absent); !slices.Equal(got, []string{"1/1"}) {
			t.Errorf("absent: %v", got)
		}
	})
}

// TestAHintDoesNotCircle: presence insists on nodes that do not hold the recipient.
func TestAHintDoesNotCircle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		var desks []*desk
		for _, id := range []membership.NodeID{"a", "b", "d"} {
			desks = append(desks, start(t, c, id))
		}
		sends := 0
		c.Bend(func(to membership.NodeID, hints []presence.Hint) []clustersim.Delivery {
			if sends++; sends > 100 {
				return nil
			}
			return []clustersim.Delivery{{To: to, Hints: hints}}
		})
		insist := func(o *presence.Options) { o.Presence = stubborn{} }
		asker := start(t, c, "e", insist)
		for _, d := range desks {
			d.stop()
		}
		desks = desks[:0]
		for _, id := range []membership.NodeID{"a", "b", "d"} {
			desks = append(desks, start(t, c, id, insist))
		}
		asker.router.Enqueue([]presence.Hint{hint(alice, 1)})
		synctest.Wait()
		if most := 3 + 3*2 + 3*2*2; sends > most { // to three, on to the two others, and once more
			t.Errorf("one hint was sent %d times, want %d at most", sends, most)
		}
		circled, unrouted := uint64(0), 0
		for _, d := range desks {
			circled += d.router.Stats().HopLimitExceeded
			unrouted += d.mu.unrouted
		}
		if circled == 0 || unrouted == 0 { // the stale walk must hear of it: nobody was called absent
			t.Errorf("%d hints were given up, and %d engines heard of it", circled, unrouted)
		}
	})
}

// stubborn is presence that knows one thing only.
type stubborn struct{}

func (stubborn) Assert(context.Context, []esh3ar.Recipient) error  { return nil }
func (stubborn) Retract(context.Context, []esh3ar.Recipient) error { return nil }
func (stubborn) Nodes(_ context.Context, rs []esh3ar.Recipient) ([][]membership.NodeID, error) {
	nodes := make([][]membership.NodeID, len(rs))
	for i := range nodes {
		nodes[i] = []membership.NodeID{"a", "b", "d"}
	}
	return nodes, nil
}

func TestPresenceIsSaidKeptAndTakenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		a := start(t, c, "a")
		a.open(alice, 1)
		a.open(alice, 2)
		says(t, c, alice, "a")
		a.asserted(t, alice) // once: the second session changes nothing
		time.Sleep(10 * presence.TTL)
		says(t, c, alice, "a")
		a.asserted(t, alice) // and not with each repeat
		a.close(alice, 1)
		says(t, c, alice, "a")
		a.close(alice, 2)
		says(t, c, alice)
	})
}

// TestPresenceComesBackAfterItWasLost: within a round of repeats, whatever happened meanwhile.
func TestPresenceComesBackAfterItWasLost(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(*clustersim.Cluster){
		"wiped": (*clustersim.Cluster).Wipe,
		"away": func(c *clustersim.Cluster) {
			c.Away(true, true)
			time.Sleep(5 * presence.TTL)
			c.Away(false, false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := clustersim.New()
				c.Slow(10 * time.Millisecond)
				a := start(t, c, "a")
				const crowd = esh3ar.Recipient(3000) // several batches
				for r := range crowd {
					a.open(alice+r, 1)
				}
				time.Sleep(time.Second)
				for r := range crowd { // long before the first round of repeats
					says(t, c, alice+r, "a")
				}
				lose(c)
				time.Sleep(presence.RenewInterval + 3*time.Second) // a call that hangs may still be under way
				for r := range crowd {
					says(t, c, alice+r, "a")
				}
			})
		})
	}
}

// TestPresenceFollowsPhonesThatComeAndGo: however sessions begin and end while calls are under way, in the end presence
// says what is.
func TestPresenceFollowsPhonesThatComeAndGo(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 1))
				c := clustersim.New()
				c.Slow(40 * time.Millisecond)
				a := start(t, c, "a")
				var sessions [8]int
				for range 300 {
					r := random.IntN(len(sessions))
					if sessions[r] == 0 || random.IntN(2) == 0 {
						sessions[r]++
						a.open(alice+esh3ar.Recipient(r), sessions[r])
					} else {
						a.close(alice+esh3ar.Recipient(r), sessions[r])
						sessions[r]--
					}
					time.Sleep(time.Duration(random.IntN(30)) * time.Millisecond)
				}
				time.Sleep(time.Second)
				for r, n := range sessions {
					if n > 0 {
						says(t, c, alice+esh3ar.Recipient(r), "a")
					} else {
						says(t, c, alice+esh3ar.Recipient(r))
					}
				}
			})
		})
	}
}

// TestWhoCouldNotBeSaidIsNotCompared: the comparison belongs behind the assertion that other nodes can see.
func TestWhoCouldNotBeSaidIsNotCompared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		a := start(t, c, "a")
		c.Slow(100 * time.Millisecond)
		a.open(alice, 1)
		time.Sleep(90 * time.Millisecond)
		a.asserted(t)
		time.Sleep(20 * time.Millisecond)
		a.asserted(t, alice)
		c.Away(true, false)
		a.open(bob, 1)
		time.Sleep(time.Second)
		a.asserted(t, alice)
		if s := a.router.Stats(); s.PublishFailed == 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestNothingPilesUpWhilePresenceHangs: the outbox is bounded in hints and in bytes, marks are bounded, and there are as
// many goroutines as before; so this test runs alone.
func TestNothingPilesUpWhilePresenceHangs(t *testing.T) { //nolint:paralleltest // it counts goroutines
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		limits := presence.Limits{Hints: 5000, Bytes: 1 << 20, Dirty: 300}
		a := start(t, c, "a", func(o *presence.Options) { o.Limits = limits })
		c.Away(true, true)
		before, dropped := runtime.NumGoroutine(), 0
		for i := range 10_000 {
			h := hint(alice, esh3ar.Seq(i+1))
			h.Message = &esh3ar.Message{Recipient: alice, Content: string(make([]byte, i%2*3000))}
			if !a.router.Enqueue([]presence.Hint{h}) {
				dropped++
			}
			a.open(alice+esh3ar.Recipient(i), 1)
		}
		synctest.Wait()
		s := a.router.Stats()
		if most := 2 * (1 << 20) / 3000; s.Waiting == 0 || s.Waiting > most {
			t.Errorf("%d hints wait, want at most %d", s.Waiting, most)
		}
		if int(s.Dropped) != dropped || dropped == 0 || s.Enqueued != 10_000 || s.DirtyDropped < 9000 {
			t.Errorf("%d of the caller's hints dropped, %+v", dropped, s)
		}
		if now := runtime.NumGoroutine(); now > before {
			t.Errorf("%d goroutines, before %d", now, before)
		}
		c.Away(false, false)
		time.Sleep(2*presence.RenewInterval + 10*time.Second)
		for i := range esh3ar.Recipient(10_000) {
			says(t, c, alice+i, "a")
		}
		if s := a.router.Stats(); s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestANodeThatEndsSaysGoodbye(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		a, b := start(t, c, "a"), start(t, c, "b")
		a.open(alice, 1)
		b.open(bob, 1)
		synctest.Wait()
		c.Slow(time.Second)
		a.router.Enqueue([]presence.Hint{hint(bob, 1)})
		synctest.Wait()
		a.router.Enqueue([]presence.Hint{hint(bob, 2)}) // waits behind a look-up
		a.stop()
		b.heard(t, "2/1", "2/2")
		says(t, c, alice)
	})
}

func TestConnectedIsWhoIsElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		a, b := start(t, c, "a"), start(t, c, "b")
		a.open(alice, 1)
		b.open(bob, 1)
		synctest.Wait()
		got, err := a.router.Connected(t.Context(), []esh3ar.Recipient{alice, bob, bob + 1})
		if err != nil || !slices.Equal(got, []bool{false, true, false}) {
			t.Errorf("got %v, %v", got, err)
		}
		c.Away(true, false)
		if _, err := a.router.Connected(t.Context(), []esh3ar.Recipient{bob}); !errors.Is(err, clustersim.ErrAway) {
			t.Errorf("got %v", err)
		}
	})
}

// TestATransportThatGivesUpIsAskedAgain, though it promised not to.
func TestATransportThatGivesUpIsAskedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		a := start(t, c, "a")
		tired := &tired{Hints: clustersim.Hints{Cluster: c, Self: "b"}, times: 3}
		b := start(t, c, "b", func(o *presence.Options) { o.Hints = tired })
		b.open(alice, 1)
		time.Sleep(10 * time.Second)
		a.router.Enqueue([]presence.Hint{hint(alice, 1)})
		b.heard(t, "1/1")
		if b.mu.errors["receive hints"] != 3 {
			t.Errorf("errors: %v", b.mu.errors)
		}
	})
}

type tired struct {
	clustersim.Hints
	times int
}

func (h *tired) Receive(ctx context.Context, handle func([]presence.Hint)) error {
	if h.times--; h.times >= 0 {
		return clustersim.ErrAway
	}
	return h.Hints.Receive(ctx, handle)
}
