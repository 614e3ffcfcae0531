package embedded

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/esh3artech/esh3ar"
)

func settleRequest(n int) *request {
	r := newRequest(changeSize*n, nil)
	r.changes = n
	return r
}

// TestQueue_Full_BlocksCallers fills the queue by bytes and by number. Blocked callers return when there is room, when their
// context ends, and when the queue is closed.
func TestQueue_Full_BlocksCallers(t *testing.T) {
	for name, size := range map[string]int{"bytes": queueBytes / 4, "number": 0, "more than all": 2 * queueBytes} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(time.Millisecond)
				places := int(queueBytes / newRequest(size, nil).size)
				for range places {
					if err := q.put(t.Context(), newRequest(size, nil)); err != nil {
						t.Fatal(err)
					}
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				if err := q.put(ctx, newRequest(size, nil)); err == nil || esh3ar.CodeOf(err) != esh3ar.Abandoned {
					t.Fatalf("put into a full queue: got %v, want Abandoned", err)
				}
				waiting := make(chan error)
				go func() { waiting <- q.put(t.Context(), newRequest(size, nil)) }()
				synctest.Wait()
				if n := len(q.take(nil)); n != places {
					t.Fatalf("take: got %d requests, want %d", n, places)
				}
				if err := <-waiting; err != nil {
					t.Fatalf("put after take: %v", err)
				}
				q.take(nil)
				for range places {
					if err := q.put(t.Context(), newRequest(size, nil)); err != nil {
						t.Fatal(err)
					}
				}
				go func() { waiting <- q.put(t.Context(), newRequest(size, nil)) }()
				synctest.Wait()
				q.close()
				if err := <-waiting; err == nil || esh3ar.CodeOf(err) != esh3ar.StoreUnavailable {
					t.Fatalf("put into a closed queue: got %v, want StoreUnavailable", err)
				}
				if n := len(q.take(nil)); n != places {
					t.Fatalf("take after close: got %d requests, want %d", n, places)
				}
			})
		})
	}
}

// TestQueue_SettlesOnly_AreDelayed: settles wait for an append, for the end of the delay, or until they fill a batch.
func TestQueue_SettlesOnly_AreDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(10 * time.Millisecond)
		taken := make(chan int)
		take := func() { taken <- len(q.take(nil)) }
		put := func(r *request) {
			if err := q.put(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		go take()
		put(settleRequest(1))
		if n := <-taken; n != 1 || time.Since(start) != 10*time.Millisecond {
			t.Errorf("one settle: got %d after %v, want 1 after 10 ms", n, time.Since(start))
		}
		start = time.Now()
		go take()
		put(settleRequest(1))
		time.Sleep(3 * time.Millisecond) // synctest's clock
		put(newRequest(1, nil))
		if n := <-taken; n != 2 || time.Since(start) != 3*time.Millisecond {
			t.Errorf("settle and append: got %d after %v, want 2 after 3 ms", n, time.Since(start))
		}
		start = time.Now()
		go take()
		put(settleRequest(settleBatch))
		if n := <-taken; n != 1 || time.Since(start) != 0 {
			t.Errorf("full batch of settles: got %d after %v, want 1 at once", n, time.Since(start))
		}
	})
}
