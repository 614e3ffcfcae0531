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

func TestRouter_Enqueue_ReachesTheNodesOfTheRecipients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		a, b, d := newFixture(t, c, "a"), newFixture(t, c, "b"), newFixture(t, c, "d")
		a.open(alice, 1)
		b.open(alice, 2)
		d.open(bob, 3)
		synctest.Wait()
		a.router.Enqueue([]presence.Hint{hint(alice, 1), hint(bob, 1), hint(alice, 2), hint(alice, 3)})
		b.expectHints(t, "1/1", "1/2", "1/3")
		d.expectHints(t, "2/1")
		a.expectHints(t) // its own hints are not sent back
		a.expectOffline(t)
	})
}

func TestRouter_UnconnectedRecipient_ReportedOffline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		a, b := newFixture(t, c, "a"), newFixture(t, c, "b")
		a.open(bob, 1)
		a.router.Enqueue([]presence.Hint{
			hint(alice, 1), hint(bob, 1), {Kind: presence.Acknowledged, Recipient: alice}, {Kind: presence.EndedUnacked, Recipient: alice},
		})
		a.expectOffline(t, "1/1") // only for stored messages: ended ones do not wait for the recipient
		b.expectHints(t)
	})
}

func TestRouter_PresenceUnavailable_ReportsNoOffline(t *testing.T) {
	t.Parallel()
	for _, hangs := range []bool{false, true} {
		t.Run(fmt.Sprintf("hangs: %t", hangs), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := clustersim.New()
				a := newFixture(t, c, "a")
				c.Away(true, hangs)
				a.router.Enqueue([]presence.Hint{hint(alice, 1)})
				time.Sleep(time.Minute)
				a.expectOffline(t)
				if a.mu.hintsLost != 1 || a.mu.errors["look presence up"] != 1 {
					t.Errorf("got %d reports of lost hints and errors %v, want 1 of each", a.mu.hintsLost, a.mu.errors)
				}
				c.Away(false, false)
				a.router.Enqueue([]presence.Hint{hint(alice, 2)})
				a.expectOffline(t, "1/2")
			})
		})
	}
}

// TestRouter_StaleEntry_RetractedAndHintForwarded: the phone has moved from b to d, and presence still lists b.
func TestRouter_StaleEntry_RetractedAndHintForwarded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		a, b, d := newFixture(t, c, "a"), newFixture(t, c, "b"), newFixture(t, c, "d")
		c.Bend(func(to membership.NodeID, hints []presence.Hint) []clustersim.Delivery {
			if to == "b" { // d opens after the lookup
				d.open(alice, 1)
			}
			return []clustersim.Delivery{{To: to, Hints: hints, After: time.Millisecond}}
		})
		c.Plant("b", alice)
		a.router.Enqueue([]presence.Hint{hint(alice, 1)})
		time.Sleep(time.Second)
		d.expectHints(t, "1/1")
		b.expectHints(t)
		expectNodes(t, c, alice, "d")
		for _, f := range []*fixture{a, b, d} {
			f.expectOffline(t)
		}
	})
}

// TestRouter_StaleEntryOfOfflineRecipient_ReportedOffline covers a phone that disconnected without connecting again.
func TestRouter_StaleEntryOfOfflineRecipient_ReportedOffline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		a, b := newFixture(t, c, "a"), newFixture(t, c, "b")
		c.Bend(func(to membership.NodeID, hints []presence.Hint) []clustersim.Delivery { // later than the retractions
			return []clustersim.Delivery{{To: to, Hints: hints, After: time.Millisecond}}
		})
		c.Plant("a", alice)
		c.Plant("b", alice)
		a.router.Enqueue([]presence.Hint{hint(alice, 1)})
		time.Sleep(time.Second)
		expectNodes(t, c, alice)
		if got := slices.Concat(a.mu.offline, b.mu.offline); !slices.Equal(got, []string{"1/1"}) {
			t.Errorf("offline recipients: got %v, want [1/1]", got)
		}
	})
}

// TestRouter_MisroutedHint_StopsAtHopLimit: presence always returns nodes that do not have the recipient.
func TestRouter_MisroutedHint_StopsAtHopLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		var fixtures []*fixture
		for _, id := range []membership.NodeID{"a", "b", "d"} {
			fixtures = append(fixtures, newFixture(t, c, id))
		}
		sends := 0
		c.Bend(func(to membership.NodeID, hints []presence.Hint) []clustersim.Delivery {
			sends++
			if sends > 100 {
				return nil
			}
			return []clustersim.Delivery{{To: to, Hints: hints}}
		})
		insist := func(o *presence.Options) { o.Presence = fixedPresence{} }
		asker := newFixture(t, c, "e", insist)
		for _, d := range fixtures {
			d.stop()
		}
		fixtures = fixtures[:0]
		for _, id := range []membership.NodeID{"a", "b", "d"} {
			fixtures = append(fixtures, newFixture(t, c, id, insist))
		}
		asker.router.Enqueue([]presence.Hint{hint(alice, 1)})
		synctest.Wait()
		if most := 3 + 3*2 + 3*2*2; sends > most { // to three nodes, forwarded to the two others, and once more
			t.Errorf("one hint was sent %d times, want %d at most", sends, most)
		}
		circled := uint64(0)
		unrouted := 0
		for _, d := range fixtures {
			circled += d.router.Stats().HopLimitExceeded
			unrouted += d.mu.hintsLost
		}
		if circled == 0 || unrouted == 0 { // the sweep must learn of the loss, because no recipient was reported offline
			t.Errorf("got %d hints at the hop limit and %d reports of lost hints, want some of each", circled, unrouted)
		}
	})
}

// fixedPresence is a Presence that always returns the same nodes.
type fixedPresence struct{}

func (fixedPresence) Assert(context.Context, []esh3ar.Recipient) error  { return nil }
func (fixedPresence) Retract(context.Context, []esh3ar.Recipient) error { return nil }
func (fixedPresence) Nodes(_ context.Context, rs []esh3ar.Recipient) ([][]membership.NodeID, error) {
	nodes := make([][]membership.NodeID, len(rs))
	for i := range nodes {
		nodes[i] = []membership.NodeID{"a", "b", "d"}
	}
	return nodes, nil
}

func TestRouter_Sessions_AssertRenewRetract(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		a := newFixture(t, c, "a")
		a.open(alice, 1)
		a.open(alice, 2)
		expectNodes(t, c, alice, "a")
		a.expectAsserted(t, alice) // only once: the second session changes nothing
		time.Sleep(10 * presence.TTL)
		expectNodes(t, c, alice, "a")
		a.expectAsserted(t, alice) // and not with each renewal
		a.close(alice, 1)
		expectNodes(t, c, alice, "a")
		a.close(alice, 2)
		expectNodes(t, c, alice)
	})
}

// TestRouter_PresenceLost_RestoredWithinOneRound: one round of renewals restores presence, whatever happened meanwhile.
func TestRouter_PresenceLost_RestoredWithinOneRound(t *testing.T) {
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
				a := newFixture(t, c, "a")
				const recipients = esh3ar.Recipient(3000) // more than one batch
				for r := range recipients {
					a.open(alice+r, 1)
				}
				time.Sleep(time.Second)
				for r := range recipients { // long before the first round of renewals
					expectNodes(t, c, alice+r, "a")
				}
				lose(c)
				time.Sleep(presence.RenewInterval + 3*time.Second) // a call that hangs may still be in progress
				for r := range recipients {
					expectNodes(t, c, alice+r, "a")
				}
			})
		})
	}
}

// TestRouter_RandomSessions_PresenceConverges: however sessions begin and end during calls, presence is correct in the end.
func TestRouter_RandomSessions_PresenceConverges(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 1))
				c := clustersim.New()
				c.Slow(40 * time.Millisecond)
				a := newFixture(t, c, "a")
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
						expectNodes(t, c, alice+esh3ar.Recipient(r), "a")
					} else {
						expectNodes(t, c, alice+esh3ar.Recipient(r))
					}
				}
			})
		})
	}
}

// TestRouter_AssertFails_NotReportedAsAsserted: the comparison with the store must follow the assertion that other nodes can see.
func TestRouter_AssertFails_NotReportedAsAsserted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		a := newFixture(t, c, "a")
		c.Slow(100 * time.Millisecond)
		a.open(alice, 1)
		time.Sleep(90 * time.Millisecond)
		a.expectAsserted(t)
		time.Sleep(20 * time.Millisecond)
		a.expectAsserted(t, alice)
		c.Away(true, false)
		a.open(bob, 1)
		time.Sleep(time.Second)
		a.expectAsserted(t, alice)
		if s := a.router.Stats(); s.PublishFailed == 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestRouter_PresenceHangs_QueuesAreBounded: the outbox is bounded in hints and in bytes, the dirty set is bounded, and no
// goroutines are added. It counts goroutines, so it runs alone.
func TestRouter_PresenceHangs_QueuesAreBounded(t *testing.T) { //nolint:paralleltest // it counts goroutines
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		limits := presence.Limits{Hints: 5000, Bytes: 1 << 20, Dirty: 300}
		a := newFixture(t, c, "a", func(o *presence.Options) { o.Limits = limits })
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
			expectNodes(t, c, alice+i, "a")
		}
		if s := a.router.Stats(); s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestRouter_Stop_SendsQueuedHintsAndRetracts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		a, b := newFixture(t, c, "a"), newFixture(t, c, "b")
		a.open(alice, 1)
		b.open(bob, 1)
		synctest.Wait()
		c.Slow(time.Second)
		a.router.Enqueue([]presence.Hint{hint(bob, 1)})
		synctest.Wait()
		a.router.Enqueue([]presence.Hint{hint(bob, 2)}) // waits for the lookup in progress
		a.stop()
		b.expectHints(t, "2/1", "2/2")
		expectNodes(t, c, alice)
	})
}

func TestRouter_Connected_ReportsOtherNodesOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		a, b := newFixture(t, c, "a"), newFixture(t, c, "b")
		a.open(alice, 1)
		b.open(bob, 1)
		synctest.Wait()
		got, err := a.router.Connected(t.Context(), []esh3ar.Recipient{alice, bob, bob + 1})
		if err != nil || !slices.Equal(got, []bool{false, true, false}) {
			t.Errorf("Connected: got %v, %v, want [false true false]", got, err)
		}
		c.Away(true, false)
		if _, err := a.router.Connected(t.Context(), []esh3ar.Recipient{bob}); !errors.Is(err, clustersim.ErrAway) {
			t.Errorf("Connected while presence is unavailable: got %v, want ErrAway", err)
		}
	})
}

// TestRouter_ReceiveFails_RetriesReceive covers a transport that breaks the promise to reconnect.
func TestRouter_ReceiveFails_RetriesReceive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := clustersim.New()
		a := newFixture(t, c, "a")
		failing := &failingHints{Hints: clustersim.Hints{Cluster: c, Self: "b"}, times: 3}
		b := newFixture(t, c, "b", func(o *presence.Options) { o.Hints = failing })
		b.open(alice, 1)
		time.Sleep(10 * time.Second)
		a.router.Enqueue([]presence.Hint{hint(alice, 1)})
		b.expectHints(t, "1/1")
		if b.mu.errors["receive hints"] != 3 {
			t.Errorf("errors: got %v, want 3 of \"receive hints\"", b.mu.errors)
		}
	})
}

// failingHints fails the first calls of Receive.
type failingHints struct {
	clustersim.Hints
	times int // calls that fail
}

func (h *failingHints) Receive(ctx context.Context, handle func([]presence.Hint)) error {
	h.times--
	if h.times >= 0 {
		return clustersim.ErrAway
	}
	return h.Hints.Receive(ctx, handle)
}
