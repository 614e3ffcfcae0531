package cache_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errSourceAway = errors.New("the source is away")

// TestCache_SourceUnavailable_ServesStaleWithinLimit: one caller at a time waits for the source, the others get the stale value.
func TestCache_SourceUnavailable_ServesStaleWithinLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSource(map[int]string{1: "a"})
		c := newCache(s, func(o *options) {
			o.TTL = time.Second
			o.MissTTL = time.Hour
			o.StaleIfError = time.Minute
			o.Timeout = time.Second
			o.RefreshAhead = true
		})
		began := time.Now()
		expectValue(t, c, 1, "a")
		expectValue(t, c, 2, "")
		s.change(func() { s.fails, s.takes = errSourceAway, time.Hour }) // it is unresponsive
		for time.Since(began) < 58*time.Second {
			expectValue(t, c, 1, "a")
			advance(100 * time.Millisecond)
		}
		if n := s.calls(); n < 20 || n > 70 {
			t.Errorf("the source was asked %d times in a minute", n)
		}
		for time.Since(began) < 63*time.Second {
			advance(100 * time.Millisecond)
		}
		if _, _, err := c.Get(t.Context(), 1); err == nil {
			t.Error("after its grace it still answers")
		}
	})
}

func TestCache_SourceAndLevelUnavailable_ServesStale(t *testing.T) {
	t.Parallel()
	s := newSource(map[int]string{1: "a"})
	cluster(t, 2, s, func(o *options) {
		o.StaleIfError = time.Hour
		o.Second = nil
	}, func(_ *memory, nodes []*node) {
		cut := nodes[0]
		expectValue(t, cut, 1, "a")
		cut.level.set(func() { cut.level.mu.away = true })
		cut.level.disconnect <- struct{}{}
		synctest.Wait()
		s.set(1, "b")
		expectValue(t, cut, 1, "b") // the source is available, so an entry that may be outdated is not served
		s.change(func() { s.fails = errSourceAway })
		advance(time.Minute)
		expectValue(t, cut, 1, "b")
		s.change(func() { s.fails = nil; s.rows[1] = "c" })
		advance(11 * time.Second) // twice the load timeout
		expectValue(t, cut, 1, "c")
	})
}

// TestCache_Invalidated_NotServedStale: an invalidated value is not served, even while the source is unavailable.
func TestCache_Invalidated_NotServedStale(t *testing.T) {
	t.Parallel()
	for name, invalidate := range invalidations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := colours()
			cluster(t, 2, s, func(o *options) {
				o.StaleIfError = time.Hour
				o.Second = nil
			}, func(_ *memory, nodes []*node) {
				expectValue(t, nodes[0], 12, "old")
				s.change(func() { s.fails = errSourceAway })
				advance(time.Minute)
				expectValue(t, nodes[0], 12, "old")
				invalidate(t.Context(), nodes[1])
				synctest.Wait()
				if v, found, err := nodes[0].Get(t.Context(), 12); err == nil {
					t.Errorf("%q, %t", v, found)
				}
			})
		})
	}
}

func TestCache_NotFound_NotServedStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSource(nil)
		c := newCache(s, func(o *options) { o.MissTTL, o.StaleIfError = time.Second, time.Hour })
		expectValue(t, c, 1, "")
		s.change(func() { s.fails = errSourceAway })
		advance(time.Second)
		var crowd sync.WaitGroup
		for range 10 {
			crowd.Go(func() {
				if _, _, err := c.Get(t.Context(), 1); !errors.Is(err, errSourceAway) {
					t.Error(err)
				}
			})
		}
		crowd.Wait()
	})
}
