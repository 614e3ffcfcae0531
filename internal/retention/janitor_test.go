package retention

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeStore records its calls.
type fakeStore struct {
	asked []string
	steps int // number of calls until purging and trimming are complete
	fails error
}

func (f *fakeStore) Purge(_ context.Context, served esh3ar.RetentionCutoffs, next string, limit int) (int, string, error) {
	asked := fmt.Sprintf("purge %s %q %d", served.Default, next, limit)
	for _, of := range slices.Sorted(maps.Values(served.ByBusiness)) {
		asked += fmt.Sprintf(" or %s", of)
	}
	f.asked = append(f.asked, asked)
	if len(next) < f.steps {
		return limit, next + "x", f.fails
	}
	return 1, "", f.fails
}

func (f *fakeStore) TrimEvents(_ context.Context, before esh3ar.Time) (bool, error) {
	f.asked = append(f.asked, fmt.Sprintf("trim %s", before))
	return len(f.asked) <= f.steps, f.fails
}

func (f *fakeStore) DeleteExpiredKeys(_ context.Context, before esh3ar.Time) error {
	f.asked = append(f.asked, fmt.Sprintf("forget %s", before))
	return f.fails
}

func TestJanitor_Round_DeletesExpiredData(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{steps: 2}
		j := New(store, Options{KeepMessages: 48 * time.Hour, KeepEvents: 24 * time.Hour, Every: time.Hour, Step: 7})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- j.Run(ctx) }()
		time.Sleep(90 * time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		// The fake clock begins at midnight of 2000-01-01.
		want := []string{
			"forget 2000-01-01T01:00:00.000Z",
			"trim 1999-12-31T01:00:00.000Z", "trim 1999-12-31T01:00:00.000Z",
			`purge 1999-12-30T01:00:00.000Z "" 7`, `purge 1999-12-30T01:00:00.000Z "x" 7`, `purge 1999-12-30T01:00:00.000Z "xx" 7`,
		}
		if !slices.Equal(store.asked, want) {
			t.Errorf("got  %q\nwant %q", store.asked, want)
		}
		if got := j.Stats(); got != (Stats{Purged: 15, Rounds: 1}) {
			t.Errorf("%+v", got)
		}
	})
}

// TestJanitor_RetentionPerBusiness_IsApplied: some businesses keep messages longer, some shorter, but none shorter than events.
func TestJanitor_RetentionPerBusiness_IsApplied(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{}
		fails := errors.New("away")
		j := New(store, Options{KeepMessages: 48 * time.Hour, KeepEvents: 24 * time.Hour, Step: 7, Retention: func(context.Context) (map[esh3ar.BusinessID]time.Duration, error) {
			return map[esh3ar.BusinessID]time.Duration{esh3ar.NewBusinessID(): 72 * time.Hour, esh3ar.NewBusinessID(): time.Hour}, fails
		}})
		j.runOnce(t.Context(), time.Now())
		if len(store.asked) != 2 {
			t.Errorf("purged without knowing what to keep: %q", store.asked)
		}
		fails = nil
		j.runOnce(t.Context(), time.Now())
		if want := `purge 1999-12-30T00:00:00.050Z "" 7 or 1999-12-29T00:00:00.050Z or 1999-12-31T00:00:00.050Z`; store.asked[len(store.asked)-1] != want {
			t.Errorf("got  %q\nwant %q", store.asked, want)
		}
	})
}

func TestJanitor_Error_EndsOnlyTheRound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := &fakeStore{fails: errors.New("away")}
		j := New(store, Options{})
		j.runOnce(t.Context(), time.Now())
		j.runOnce(t.Context(), time.Now())
		if got := j.Stats(); got.Failed != 2 || got.Rounds != 2 || len(store.asked) != 2 {
			t.Errorf("%+v, %q", got, store.asked)
		}
	})
}

// TestJanitor_ClockJumps_PausesDeletion: a jump ahead pauses deletion for an hour, a jump back has no effect.
func TestJanitor_ClockJumps_PausesDeletion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := New(&fakeStore{}, Options{})
		for _, step := range []struct {
			wall time.Duration // jump of the wall clock relative to the monotonic clock
			wait time.Duration
			held bool
		}{
			{0, 0, false},
			{0, time.Minute, false},
			{-24 * time.Hour, time.Minute, false},
			{30 * time.Second, time.Minute, false},
			{365 * 24 * time.Hour, time.Minute, true},
			{0, 59 * time.Minute, true},
			{0, time.Minute, false},
		} {
			time.Sleep(step.wait)
			j.wall = j.wall.Add(-step.wall) // as if the wall clock had been set ahead meanwhile
			if held := j.clockJumped(time.Now()); held != step.held {
				t.Errorf("after a step of %s: held is %t", step.wall, held)
			}
		}
	})
}
