package ingest_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ingest"
	"github.com/esh3artech/esh3ar/internal/ingest/spill"
)

// silentStore is a store that never answers.
type silentStore struct{ asked atomic.Int64 }

func (m *silentStore) Append(ctx context.Context, _ []*esh3ar.Call) ([]esh3ar.Answer, error) {
	m.asked.Add(1)
	<-ctx.Done()
	return nil, esh3ar.Errorf(esh3ar.OutcomeUnknown, "no answer: %w", ctx.Err())
}

// TestIntake_SilentStore_IsAskedOnce: while the spill has calls, the drain notices when the store is back. Until then no batch waits for
// the store, even if its recipients have nothing in the spill and its calls have keys.
func TestIntake_SilentStore_IsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sp, err := spill.Open("spill", spill.Options{FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		store := &silentStore{}
		var away []bool
		in := ingest.New(store, nopPublisher{}, ingest.Options{Spill: sp, OnStoreAway: func(now bool) { away = append(away, now) }})
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- in.Run(ctx) }()
		start := time.Now()
		for i := range 20 {
			c := call(esh3ar.NewBusinessID(), esh3ar.Normal, fmt.Sprint(i))
			c.Messages[0].Recipient = esh3ar.Recipient(1000 + i)
			c.Key = &esh3ar.IdempotencyKey{Key: fmt.Sprint(i), ExpiresAt: esh3ar.TimeOf(start.Add(time.Hour))}
			if answer, err := in.Submit(ctx, c); err != nil || !answer.Spilled {
				t.Fatalf("call %d: got %+v, %v, want it spilled", i, answer, err)
			}
		}
		if took := time.Since(start); store.asked.Load() != 1 || took > 4*time.Second { // fake time
			t.Errorf("got %d appends to the store and 20 calls in %s, want 1 and at most 4s", store.asked.Load(), took)
		}
		if len(away) != 1 || !away[0] {
			t.Errorf("OnStoreAway: got %v, want [true]", away)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := sp.Close(); err != nil {
			t.Error(err)
		}
	})
}
