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

// TestQueueIsBounded fills the queue by bytes and by number, and lets callers leave and the store close while they wait.
func TestQueueIsBounded(t *testing.T) {
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
					t.Fatalf("put into a full queue: %v", err)
				}
				waiting := make(chan error)
				go func() { waiting <- q.put(t.Context(), newRequest(size, nil)) }()
				synctest.Wait()
				if n := len(q.take(nil)); n != places {
					t.Fatalf("took %d of %d", n, places)
				}
				if err := <-waiting; err != nil {
					t.Fatalf("put once there is room: %v", err)
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
					t.Fatalf("put while closing: %v", err)
				}
				if n := len(q.take(nil)); n != places {
					t.Fatalf("closing took %d of %d", n, places)
				}
			})
		})
	}
}

// TestSettlesWaitForCompany holds settles back until an append comes, the time is over, or there are enough of them.
func TestSettlesWaitForCompany(t *testing.T) {
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
			t.Errorf("alone: %d after %v", n, time.Since(start))
		}
		start = time.Now()
		go take()
		put(settleRequest(1))
		time.Sleep(3 * time.Millisecond) // synctest's clock
		put(newRequest(1, nil))
		if n := <-taken; n != 2 || time.Since(start) != 3*time.Millisecond {
			t.Errorf("with an append: %d after %v", n, time.Since(start))
		}
		start = time.Now()
		go take()
		put(settleRequest(settleBatch))
		if n := <-taken; n != 1 || time.Since(start) != 0 {
			t.Errorf("enough: %d after %v", n, time.Since(start))
		}
	})
}
