package fairshare_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"pgregory.net/rapid"

	"github.com/esh3artech/esh3ar/internal/fairshare"
)

// greedy takes one unit after another until it is refused, and returns how many it holds and the refusal.
func greedy(p *fairshare.Pool[string], owner string) (held int64, refusal error) {
	for {
		if err := p.TryAcquire(owner, 1); err != nil {
			return held, err
		}
		held++
	}
}

func TestPool_OneOwnerAlone_HoldsHalf(t *testing.T) {
	t.Parallel()
	p := fairshare.New[string](fairshare.Options{Total: 100})
	if held, err := greedy(p, "a"); held != 50 || !errors.Is(err, fairshare.ErrShare) {
		t.Errorf("a: got %d units, %v, want 50, ErrShare", held, err)
	}
	if held, _ := greedy(p, "b"); held != 25 {
		t.Errorf("b: got %d units, want 25: a quarter, as much as stays free", held)
	}
	p.Release("a", 50)
	if held, err := greedy(p, "b"); held != 25 || !errors.Is(err, fairshare.ErrShare) {
		t.Errorf("b alone: got %d more units, %v, want 25, ErrShare", held, err)
	}
	p.Release("b", 50)
	if s := p.Stats(); s.Owners != 0 || s.InUse != 0 {
		t.Errorf("at the end: got %d owners with %d units, want none", s.Owners, s.InUse)
	}
}

func TestPool_ManyGreedyOwners_LeaveRoomForTheNext(t *testing.T) {
	t.Parallel()
	p := fairshare.New[int](fairshare.Options{Total: 1 << 20, Guaranteed: 1})
	for owner := range 15 {
		for p.TryAcquire(owner, 1) == nil { //nolint:revive // until the pool refuses
		}
	}
	if err := p.TryAcquire(-1, 1); err != nil {
		t.Errorf("sixteenth owner: got %v, want a grant", err)
	}
}

func TestPool_Guaranteed_IsGrantedWhileTotalPermits(t *testing.T) {
	t.Parallel()
	p := fairshare.New[int](fairshare.Options{Total: 10, Guaranteed: 2})
	for owner := range 5 {
		if err := p.TryAcquire(owner, 2); err != nil {
			t.Fatalf("owner %d: got %v, want its guaranteed amount", owner, err)
		}
	}
	if err := p.TryAcquire(5, 1); !errors.Is(err, fairshare.ErrFull) {
		t.Errorf("beyond the total: got %v, want ErrFull", err)
	}
	if s := p.Stats(); s.RefusedFull != 1 || s.RefusedShare != 0 {
		t.Errorf("got %d refusals full, %d share, want 1, 0", s.RefusedFull, s.RefusedShare)
	}
}

// TestPool_AnyHistory_KeepsInvariants checks the rules of the package documentation: after a grant above the guaranteed amount, at least as
// much is free as the owner holds; the total is never exceeded; an owner that holds nothing is dropped.
func TestPool_AnyHistory_KeepsInvariants(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		total, guaranteed := rapid.Int64Range(1, 64).Draw(t, "total"), rapid.Int64Range(1, 4).Draw(t, "guaranteed")
		p := fairshare.New[int](fairshare.Options{Total: total, Guaranteed: guaranteed})
		held, used := map[int]int64{}, int64(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			owner, n := rapid.IntRange(0, 4).Draw(t, "owner"), rapid.Int64Range(1, 8).Draw(t, "n")
			if rapid.Bool().Draw(t, "release") {
				n = min(n, held[owner])
				p.Release(owner, n)
				held[owner] -= n
				used -= n
			} else if err := p.TryAcquire(owner, n); err == nil {
				held[owner] += n
				used += n
				if free := total - used; free < 0 || held[owner] > guaranteed && held[owner] > free {
					t.Fatalf("owner %d: got a grant of %d with %d held, %d of %d free", owner, n, held[owner], free, total)
				}
			} else if used+n <= total && held[owner]+n <= guaranteed {
				t.Fatalf("owner %d with %d units: got refusal of %d with %v, %d of %d in use, guaranteed %d", owner, held[owner], n, err, used, total, guaranteed)
			}
		}
		owners := 0
		for _, n := range held {
			if n > 0 {
				owners++
			}
		}
		if s := p.Stats(); s.InUse != used || s.Owners != owners {
			t.Fatalf("Stats: got %d units of %d owners, want %d of %d", s.InUse, s.Owners, used, owners)
		}
	})
}

func TestPool_Acquire_ServesOwnersInTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := fairshare.New[string](fairshare.Options{Total: 2, Guaranteed: 1})
		for _, owner := range []string{"x", "y"} {
			if err := p.TryAcquire(owner, 1); err != nil {
				t.Fatal(err)
			}
		}
		granted := make(chan string, 8)
		wait := func(owner string) {
			go func() {
				if err := p.Acquire(t.Context(), owner, 1); err == nil {
					granted <- owner
				}
			}()
			synctest.Wait()
		}
		wait("a")
		wait("a")
		wait("a")
		wait("b")
		p.Release("x", 1)
		p.Release("y", 1)
		synctest.Wait()
		if first, second := <-granted, <-granted; first == second {
			t.Errorf("got grants to %s and %s, want one for each owner", first, second)
		}
		p.Release("b", 1)
		synctest.Wait()
		if s := p.Stats(); s.Waiting != 2 || s.InUse != 1 {
			t.Errorf("got %d waiting, %d in use, want 2 and 1: a holds its share", s.Waiting, s.InUse)
		}
		p.Release("a", 1)
		synctest.Wait()
		<-granted
		p.Release("a", 1)
		synctest.Wait()
		<-granted
		p.Release("a", 1)
		if s := p.Stats(); s.Owners != 0 || s.InUse != 0 || s.Waiting != 0 {
			t.Errorf("at the end: got %+v, want an empty pool", s)
		}
	})
}

func TestPool_CanceledAcquire_StopsWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := fairshare.New[string](fairshare.Options{Total: 2, MaxWaitingPerOwner: 1})
		if err := p.TryAcquire("a", 1); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- p.Acquire(ctx, "a", 1) }()
		synctest.Wait()
		if err := p.Acquire(t.Context(), "a", 1); !errors.Is(err, fairshare.ErrShare) {
			t.Errorf("one more than may wait: got %v, want ErrShare", err)
		}
		if err := p.TryAcquire("a", 1); !errors.Is(err, fairshare.ErrShare) {
			t.Errorf("TryAcquire while a call waits: got %v, want ErrShare", err)
		}
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("canceled call: got %v, want context.Canceled", err)
		}
		p.Release("a", 1)
		if s := p.Stats(); s.Owners != 0 || s.Waiting != 0 {
			t.Errorf("at the end: got %d owners, %d waiting, want none", s.Owners, s.Waiting)
		}
	})
}

func TestPool_AcquireAboveLargestShare_FailsAtOnce(t *testing.T) {
	t.Parallel()
	p := fairshare.New[string](fairshare.Options{Total: 10})
	if err := p.Acquire(t.Context(), "a", 6); !errors.Is(err, fairshare.ErrShare) {
		t.Errorf("6 of 10: got %v, want ErrShare", err)
	}
}

func TestPool_ReleaseOfMoreThanHeld_Panics(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("got no panic, want one")
		}
	}()
	fairshare.New[string](fairshare.Options{Total: 10}).Release("a", 1)
}
