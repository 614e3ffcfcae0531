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

// mute is a store that says nothing until it is given up.
type mute struct{ asked atomic.Int64 }

func (m *mute) Append(ctx context.Context, _ []*esh3ar.Call) ([]esh3ar.Answer, error) {
	m.asked.Add(1)
	<-ctx.Done()
	return nil, esh3ar.Errorf(esh3ar.OutcomeUnknown, "no answer: %w", ctx.Err())
}

// TestASilentStoreIsWaitedForOnce: while the drain has something to ask the store with, no batch waits for it in vain, also
// not one of recipients who have nothing in the spill, and with keys.
func TestASilentStoreIsWaitedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept, err := spill.Open("spill", spill.Options{FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		store := &mute{}
		var away []bool
		in := ingest.New(store, quiet{}, ingest.Options{Spill: kept, OnStoreAway: func(now bool) { away = append(away, now) }})
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- in.Run(ctx) }()
		start := time.Now()
		for i := range 20 {
			c := call(esh3ar.NewBusinessID(), esh3ar.Normal, fmt.Sprint(i))
			c.Messages[0].Recipient = esh3ar.Recipient(1000 + i)
			c.Key = &esh3ar.IdempotencyKey{Key: fmt.Sprint(i), ExpiresAt: esh3ar.TimeOf(start.Add(time.Hour))}
			if answer, err := in.Submit(ctx, c); err != nil || !answer.Spilled {
				t.Fatalf("call %d: %+v %v", i, answer, err)
			}
		}
		if took := time.Since(start); store.asked.Load() != 1 || took > 4*time.Second { // of the bubble's clock
			t.Errorf("the store was asked %d times, and 20 calls took %s", store.asked.Load(), took)
		}
		if len(away) != 1 || !away[0] {
			t.Errorf("told of the store: %v", away)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := kept.Close(); err != nil {
			t.Error(err)
		}
	})
}
