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
		t.Errorf("a holds %d, %v; want 50, ErrShare", held, err)
	}
	if held, _ := greedy(p, "b"); held != 25 {
		t.Errorf("b holds %d; want 25: a quarter, as much as stays free", held)
	}
	p.Release("a", 50)
	if held, err := greedy(p, "b"); held != 25 || !errors.Is(err, fairshare.ErrShare) {
		t.Errorf("b, alone, takes %d more, %v; want 25, ErrShare", held, err)
	}
	p.Release("b", 50)
	if s := p.Stats(); s.Owners != 0 || s.InUse != 0 {
		t.Errorf("at the end %d owners hold %d units; want none", s.Owners, s.InUse)
	}
}

func TestPool_ManyGreedyOwners_LeaveRoomForTheNext(t *testing.T) {
	t.Parallel()
	p := fairshare.New[int](fairshare.Options{Total: 1 << 20, Least: 1})
	for owner := range 15 {
		for p.TryAcquire(owner, 1) == nil { //nolint:revive // until it is refused
		}
	}
	if err := p.TryAcquire(-1, 1); err != nil {
		t.Errorf("the sixteenth owner is refused with %v; want a grant", err)
	}
}

func TestPool_Least_IsGrantedWhileTheTotalPermits(t *testing.T) {
	t.Parallel()
	p := fairshare.New[int](fairshare.Options{Total: 10, Least: 2})
	for owner := range 5 {
		if err := p.TryAcquire(owner, 2); err != nil {
			t.Fatalf("owner %d: %v; want its least amount", owner, err)
		}
	}
	if err := p.TryAcquire(5, 1); !errors.Is(err, fairshare.ErrFull) {
		t.Errorf("beyond the total: %v; want ErrFull", err)
	}
	if s := p.Stats(); s.RefusedFull != 1 || s.RefusedShare != 0 {
		t.Errorf("refused full %d, share %d; want 1, 0", s.RefusedFull, s.RefusedShare)
	}
}

// TestPool_AnyHistory_KeepsItsPromise compares with the statement of the package: after a grant above the least amount,
// at least as much is free as the owner holds; the total is never exceeded; an owner that holds nothing is forgotten.
func TestPool_AnyHistory_KeepsItsPromise(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		total, least := rapid.Int64Range(1, 64).Draw(t, "total"), rapid.Int64Range(1, 4).Draw(t, "least")
		p := fairshare.New[int](fairshare.Options{Total: total, Least: least})
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
				if free := total - used; free < 0 || held[owner] > least && held[owner] > free {
					t.Fatalf("owner %d was granted %d and holds %d; %d of %d are free", owner, n, held[owner], free, total)
				}
			} else if used+n <= total && held[owner]+n <= least {
				t.Fatalf("owner %d with %d was refused %d with %v; %d of %d were in use, least %d", owner, held[owner], n, err, used, total, least)
			}
		}
		owners := 0
		for _, n := range held {
			if n > 0 {
				owners++
			}
		}
		if s := p.Stats(); s.InUse != used || s.Owners != owners {
			t.Fatalf("stats: %d in use by %d owners; want %d by %d", s.InUse, s.Owners, used, owners)
		}
	})
}

func TestPool_Acquire_ServesOwnersInTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := fairshare.New[string](fairshare.Options{Total: 2, Least: 1})
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
			t.Errorf("granted %s and %s; want one of each owner", first, second)
		}
		p.Release("b", 1)
		synctest.Wait()
		if s := p.Stats(); s.Waiting != 2 || s.InUse != 1 {
			t.Errorf("%d wait, %d in use; want 2 and 1: a holds its share", s.Waiting, s.InUse)
		}
		p.Release("a", 1)
		synctest.Wait()
		<-granted
		p.Release("a", 1)
		synctest.Wait()
		<-granted
		p.Release("a", 1)
		if s := p.Stats(); s.Owners != 0 || s.InUse != 0 || s.Waiting != 0 {
			t.Errorf("at the end: %+v; want nothing", s)
		}
	})
}

func TestPool_AcquireThatIsCanceled_LeavesTheLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := fairshare.New[string](fairshare.Options{Total: 2, Waiting: 1})
		if err := p.TryAcquire("a", 1); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		result := make(chan error, 1)
		go func() { result <- p.Acquire(ctx, "a", 1) }()
		synctest.Wait()
		if err := p.Acquire(t.Context(), "a", 1); !errors.Is(err, fairshare.ErrShare) {
			t.Errorf("one more than may wait: %v; want ErrShare", err)
		}
		if err := p.TryAcquire("a", 1); !errors.Is(err, fairshare.ErrShare) {
			t.Errorf("past the owner's waiting call: %v; want ErrShare", err)
		}
		cancel()
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v; want context.Canceled", err)
		}
		p.Release("a", 1)
		if s := p.Stats(); s.Owners != 0 || s.Waiting != 0 {
			t.Errorf("at the end %d owners, %d waiting; want none", s.Owners, s.Waiting)
		}
	})
}

func TestPool_AcquireOfMoreThanAnyOwnerMayHold_FailsAtOnce(t *testing.T) {
	t.Parallel()
	p := fairshare.New[string](fairshare.Options{Total: 10})
	if err := p.Acquire(t.Context(), "a", 6); !errors.Is(err, fairshare.ErrShare) {
		t.Errorf("6 of 10: %v; want ErrShare", err)
	}
}

func TestPool_ReleaseOfMoreThanHeld_Panics(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	fairshare.New[string](fairshare.Options{Total: 10}).Release("a", 1)
}
