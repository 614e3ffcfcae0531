package workerpool_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/esh3artech/esh3ar/internal/runtime/workerpool"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRules_Table(t *testing.T) {
	t.Parallel()
	r := workerpool.Rules{Min: 2, Max: 5, DepthPerWorker: 4, Linger: time.Second}
	now := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		workers, depth int
		more           bool
	}{{2, 7, false}, {2, 8, true}, {3, 8, false}, {4, 16, true}, {5, 1000, false}} {
		if got := r.NeedsMore(c.workers, c.depth); got != c.more {
			t.Errorf("%d workers with %d waiting: more %v", c.workers, c.depth, got)
		}
	}
	for _, c := range []struct {
		workers int
		shallow time.Duration
		fewer   bool
	}{{3, time.Second, true}, {3, time.Second - 1, false}, {2, time.Hour, false}} {
		if got := r.AllowsFewer(c.workers, now.Add(-c.shallow), now); got != c.fewer {
			t.Errorf("%d workers, shallow for %s: fewer %v", c.workers, c.shallow, got)
		}
	}
}

// queue is a channel with a pool that takes time for each item.
type queue struct {
	items chan int
	pool  *workerpool.Pool
	took  time.Duration

	mu      sync.Mutex
	done    int
	working int
	most    int
}

func newQueue(r workerpool.Rules, took time.Duration) *queue {
	q := &queue{items: make(chan int, 10_000), took: took}
	q.pool = workerpool.New(r, func(stay func(int) bool) {
		for range q.items {
			q.one()
			if !stay(len(q.items)) {
				return
			}
		}
	})
	return q
}

func (q *queue) one() {
	q.mu.Lock()
	q.working++
	q.most = max(q.most, q.working)
	q.mu.Unlock()
	time.Sleep(q.took)
	q.mu.Lock()
	q.working--
	q.done++
	q.mu.Unlock()
}

func (q *queue) put(n int) {
	for i := range n {
		q.items <- i
		q.pool.ReportDepth(len(q.items))
	}
}

// start runs the pool; the returned function stops it.
func (q *queue) start() func() {
	done := make(chan struct{})
	go func() { defer close(done); q.pool.Run() }()
	synctest.Wait()
	return func() { close(q.items); <-done }
}

func TestPool_DeepQueue_AddsWorkersAndRemovesThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(workerpool.Rules{Min: 2, Max: 16}, 10*time.Millisecond)
		stop := q.start()
		if got := q.pool.Stats(); got.Workers != 2 {
			t.Errorf("at rest: %+v", got)
		}
		began := time.Now()
		q.put(1600)
		for q.count() < 1600 {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(began); took > 1100*time.Millisecond { // sixteen concurrently take 1 s, two take 8 s
			t.Errorf("1,600 items of 10 ms took %s of simulated time", took)
		}
		if got := q.pool.Stats(); got.Peak != 16 || q.most != 16 {
			t.Errorf("the most: %+v, %d at once", got, q.most)
		}
		for i := range 200 { // light work for a sufficient time
			if got := q.pool.Stats(); i == 30 && (got.Workers < 12 || got.Workers > 15) {
				t.Errorf("after three seconds: %+v, want one less in each", got)
			}
			q.put(1)
			time.Sleep(100 * time.Millisecond)
		}
		if got := q.pool.Stats(); got.Workers != 2 {
			t.Errorf("after the burst: %+v", got)
		}
		stop()
		if got := q.pool.Stats(); got.Workers != 0 || q.count() != 1800 {
			t.Errorf("at the end: %+v, %d done", got, q.count())
		}
		q.pool.ReportDepth(1000)
		if got := q.pool.Stats(); got.Workers != 0 {
			t.Errorf("after the end: %+v", got)
		}
	})
}

func (q *queue) count() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.done
}

// TestPool_BlockedWorkers_AddsWorkers: no worker takes an item meanwhile.
func TestPool_BlockedWorkers_AddsWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(workerpool.Rules{Min: 1, Max: 3}, time.Hour)
		stop := q.start()
		q.put(100)
		synctest.Wait()
		if got := q.pool.Stats(); got.Workers != 3 {
			t.Errorf("%+v", got)
		}
		stop()
	})
}

func TestPool_SingleItems_AddsNoWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(workerpool.Rules{Min: 1, Max: 8}, time.Millisecond)
		stop := q.start()
		for range 1000 {
			q.put(3)
			time.Sleep(5 * time.Millisecond)
		}
		if got := q.pool.Stats(); got.Peak != 1 {
			t.Errorf("%+v", got)
		}
		stop()
	})
}

// TestPool_WorkersChange_ProcessesEveryItem starts and ends workers while items arrive and the queue is closed.
func TestPool_WorkersChange_ProcessesEveryItem(t *testing.T) {
	t.Parallel()
	q := newQueue(workerpool.Rules{Min: 1, Max: 8, DepthPerWorker: 1, Linger: time.Nanosecond}, 0)
	done := make(chan struct{})
	go func() { defer close(done); q.pool.Run() }()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() { q.put(20_000) })
	}
	group.Wait()
	close(q.items)
	<-done
	if q.count() != 80_000 {
		t.Errorf("%d of 80,000 items", q.count())
	}
}

// TestPool_QueueFilledBeforeRun_AddsWorkers: a queue that filled before Run starts as many workers as one that fills later.
func TestPool_QueueFilledBeforeRun_AddsWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stuck := make(chan struct{})
		pool := workerpool.New(workerpool.Rules{Min: 1, Max: 5, DepthPerWorker: 4}, func(func(int) bool) { <-stuck })
		for depth := range 100 {
			pool.ReportDepth(depth + 1)
		}
		done := make(chan struct{})
		go func() { defer close(done); pool.Run() }()
		synctest.Wait()
		if got := pool.Stats(); got.Workers != 5 {
			t.Errorf("%+v", got)
		}
		close(stuck)
		<-done
	})
}
