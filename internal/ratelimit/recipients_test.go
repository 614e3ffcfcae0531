package ratelimit_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ratelimit"
)

// inboxes counts waiting messages as a store does.
type inboxes struct {
	mu    sync.Mutex
	of    map[esh3ar.WaitingQuery]int // by recipient, business and lane
	asked int
	fails error
}

func at(business esh3ar.BusinessID, r esh3ar.Recipient, lane esh3ar.Priority) esh3ar.WaitingQuery {
	return esh3ar.WaitingQuery{Recipient: r, Business: business, Lane: lane}
}

func (b *inboxes) CountWaiting(_ context.Context, q esh3ar.WaitingQuery) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	return min(b.of[at(q.Business, q.Recipient, q.Lane)], q.Limit), b.fails
}

func (b *inboxes) add(business esh3ar.BusinessID, r esh3ar.Recipient, lane esh3ar.Priority, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of == nil {
		b.of = map[esh3ar.WaitingQuery]int{}
	}
	b.of[at(business, r, lane)] += n
}

func (b *inboxes) waiting(business esh3ar.BusinessID, r esh3ar.Recipient, lane esh3ar.Priority) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.of[at(business, r, lane)]
}

// fast returns a plan that only limits the inbox.
func fast(limit int) *esh3ar.Plan {
	return &esh3ar.Plan{InboxLimit: limit, RecipientRate: esh3ar.MaxRate, RecipientBurst: esh3ar.MaxBurst}
}

func to(r esh3ar.Recipient, lane esh3ar.Priority, n int) []*esh3ar.Message {
	messages := make([]*esh3ar.Message, n)
	for i := range messages {
		messages[i] = &esh3ar.Message{Recipient: r, Priority: lane}
	}
	return messages
}

// refusal returns the refusal of a take, or nil.
func refusal(t *testing.T, err error) *ratelimit.RecipientError {
	t.Helper()
	e, ok := errors.AsType[*ratelimit.RecipientError](err)
	if err != nil && !ok {
		t.Fatalf("got %v, want a RecipientError", err)
	}
	return e
}

func TestRecipients_NothingDelivered_HoldsTheBound(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 2, 10, 100, 1000} {
		for _, nodes := range []int{1, 2, 5} {
			synctest.Test(t, func(t *testing.T) {
				store, business := &inboxes{}, esh3ar.NewBusinessID()
				fleet := make([]*ratelimit.Recipients, nodes)
				for i := range fleet {
					fleet[i] = ratelimit.NewRecipients(store, func() int { return nodes })
				}
				for round := range 20 {
					for i := range 4 * limit {
						r := fleet[rand.IntN(nodes)]
						if i%7 == 0 {
							r = fleet[0]
						}
						if refusal(t, r.Take(t.Context(), fast(limit), business, to(1, esh3ar.Urgent, 1))) == nil {
							store.add(business, 1, esh3ar.Urgent, 1)
						}
					}
					if round == 0 && store.waiting(business, 1, esh3ar.Urgent) < limit {
						t.Errorf("limit %d, %d nodes: %d wait; want the limit to be reached", limit, nodes, store.waiting(business, 1, esh3ar.Urgent))
					}
					time.Sleep(2 * time.Second)
				}
				first := max(1, min(32, limit/4/nodes))
				most := limit + limit*(nodes-1)/nodes + nodes*first
				if got := store.waiting(business, 1, esh3ar.Urgent); got > most {
					t.Errorf("limit %d, %d nodes: %d wait; the bound is %d", limit, nodes, got, most)
				}
			})
		}
	}
}

func TestRecipients_OtherBusinessLaneAndRecipient_AreNotHeldUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, business := &inboxes{}, esh3ar.NewBusinessID()
		r := ratelimit.NewRecipients(store, nil)
		store.add(business, 1, esh3ar.Urgent, 100)
		var err *ratelimit.RecipientError
		for range 100 {
			if err = refusal(t, r.Take(t.Context(), fast(100), business, to(1, esh3ar.Urgent, 1))); err != nil {
				break
			}
		}
		if err == nil || !err.Full || err.RetryAfter <= 0 {
			t.Fatalf("a full lane: got %+v, want a refusal with a time", err)
		}
		asked := store.asked
		for range 50 {
			if refusal(t, r.Take(t.Context(), fast(100), business, to(1, esh3ar.Urgent, 1))) == nil {
				t.Fatal("a full lane takes one more")
			}
		}
		if store.asked != asked {
			t.Errorf("refusals ask the store %d times; want none within a second", store.asked-asked)
		}
		for _, free := range []struct {
			business esh3ar.BusinessID
			to       []*esh3ar.Message
		}{
			{esh3ar.NewBusinessID(), to(1, esh3ar.Urgent, 1)}, {business, to(1, esh3ar.High, 1)}, {business, to(2, esh3ar.Urgent, 1)},
		} {
			if err := r.Take(t.Context(), fast(100), free.business, free.to); err != nil {
				t.Errorf("another business, lane or recipient: %v", err)
			}
		}
		store.add(business, 1, esh3ar.Urgent, -100) // as if they were delivered
		time.Sleep(2 * time.Second)
		if err := r.Take(t.Context(), fast(100), business, to(1, esh3ar.Urgent, 1)); err != nil {
			t.Errorf("after the delivery: %v", err)
		}
	})
}

func TestRecipients_Batch_IsOneUnit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, business := &inboxes{}, esh3ar.NewBusinessID()
		r := ratelimit.NewRecipients(store, nil)
		store.add(business, 2, esh3ar.Normal, 100)
		batch := append(to(1, esh3ar.Normal, 60), to(2, esh3ar.Normal, 60)...)
		plan := &esh3ar.Plan{InboxLimit: 100, RecipientRate: esh3ar.MinRate, RecipientBurst: 100}
		for range 20 { // the recipients are in random order
			if err := refusal(t, r.Take(t.Context(), plan, business, batch)); err == nil || !err.Full {
				t.Fatalf("a batch for a full lane: %v, want inbox_full", err)
			}
		}
		if err := r.Take(t.Context(), plan, business, to(1, esh3ar.Normal, 100)); err != nil {
			t.Errorf("the other recipient, of whom nothing was taken: %v", err)
		}
		if err := refusal(t, r.Take(t.Context(), fast(100), business, to(3, esh3ar.Normal, 101))); err == nil || !err.Never {
			t.Errorf("more than the limit in one call: %+v, want never", err)
		}
	})
}

func TestRecipients_Rate_HoldsPerRecipient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, business := ratelimit.NewRecipients(&inboxes{}, nil), esh3ar.NewBusinessID()
		plan := &esh3ar.Plan{InboxLimit: 1000, RecipientRate: 2, RecipientBurst: 10}
		took := 0
		var last *ratelimit.RecipientError
		for range 30 {
			if err := refusal(t, r.Take(t.Context(), plan, business, to(1, esh3ar.Normal, 1))); err != nil {
				last = err
			} else {
				took++
			}
		}
		if took != 10 || last == nil || last.Full || last.RetryAfter <= 0 {
			t.Errorf("%d of 30 taken, then %+v; want 10 and a refusal by the rate", took, last)
		}
		if err := r.Take(t.Context(), plan, business, to(2, esh3ar.Normal, 10)); err != nil {
			t.Errorf("another recipient: %v", err)
		}
		time.Sleep(time.Second)
		if err := r.Take(t.Context(), plan, business, to(1, esh3ar.Normal, 2)); err != nil {
			t.Errorf("after a second: %v", err)
		}
	})
}

func TestRecipients_ManyPairs_StayBoundedEach(t *testing.T) {
	t.Parallel()
	const limit, slots, pairs, rounds = 8, 1 << 10, 2 << 10, 70
	store, business := &inboxes{}, esh3ar.NewBusinessID()
	r := ratelimit.NewSmallRecipients(store, slots)
	for range rounds { // more pairs than slots, so pairs evict each other
		for p := range esh3ar.Recipient(pairs) {
			if refusal(t, r.Take(t.Context(), fast(limit), business, to(p+1, esh3ar.Normal, 1))) == nil {
				store.add(business, p+1, esh3ar.Normal, 1)
			}
		}
	}
	sum := 0
	for p := range esh3ar.Recipient(pairs) {
		sum += store.waiting(business, p+1, esh3ar.Normal)
	}
	if mean := float64(sum) / pairs; mean > limit+48 {
		t.Errorf("%g messages wait for a recipient on average; want at most the limit %d and about one first allowance", mean, limit)
	}
}

func TestRecipients_StoreAway_LetsIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &inboxes{fails: errors.New("away")}
		r := ratelimit.NewRecipients(store, nil)
		for range 500 {
			if err := r.Take(t.Context(), fast(100), esh3ar.BusinessID{}, to(1, esh3ar.Normal, 1)); err != nil {
				t.Fatalf("got %v, want nil: the store decides", err)
			}
		}
	})
}

func TestRecipients_OneMessage_AllocatesNothing(t *testing.T) {
	r, business := ratelimit.NewRecipients(&inboxes{}, nil), esh3ar.NewBusinessID()
	plan, message := fast(1_000_000), to(1, esh3ar.Normal, 1)
	ctx := t.Context()
	_ = r.Take(ctx, plan, business, message)
	for range 100 { // more than the initial allowance
		_ = r.Take(ctx, plan, business, message)
	}
	if n := testing.AllocsPerRun(1000, func() { _ = r.Take(ctx, plan, business, message) }); n != 0 {
		t.Errorf("%g allocations per message; want none", n)
	}
}

func BenchmarkRecipients(b *testing.B) {
	r, business := ratelimit.NewRecipients(&inboxes{}, nil), esh3ar.NewBusinessID()
	plan, message := fast(1_000_000), to(1, esh3ar.Normal, 1)
	for i := range b.N {
		message[0].Recipient = esh3ar.Recipient(i % 4000)
		if err := r.Take(b.Context(), plan, business, message); err != nil {
			b.Fatal(err)
		}
	}
}
