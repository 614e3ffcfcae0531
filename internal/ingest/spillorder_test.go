package ingest_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ingest"
	"github.com/esh3artech/esh3ar/internal/ingest/spill"
)

// awayStore is a store that is away until back is set.
type awayStore struct {
	back   atomic.Bool
	stored []string // contents; read when no call is running
}

func (a *awayStore) Append(_ context.Context, calls []*esh3ar.Call) ([]esh3ar.Answer, error) {
	if !a.back.Load() {
		return nil, esh3ar.Errorf(esh3ar.StoreUnavailable, "away")
	}
	answers := make([]esh3ar.Answer, len(calls))
	for i, c := range calls {
		a.stored = append(a.stored, c.Messages[0].Content)
		answers[i].Receipts = make([]esh3ar.Receipt, len(c.Messages))
	}
	return answers, nil
}

// TestIntake_RecipientInSpill_SpillsLaterCall: the store is back, but the drain has not run yet.
func TestIntake_RecipientInSpill_SpillsLaterCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sp, err := spill.Open("spill", spill.Options{FS: vfs.NewMem()})
		if err != nil {
			t.Fatal(err)
		}
		store := &awayStore{}
		in := ingest.New(store, nopPublisher{}, ingest.Options{Spill: sp})
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- in.Run(ctx) }()
		submit := func(content string, to esh3ar.Recipient) bool {
			c := call(esh3ar.NewBusinessID(), esh3ar.Normal, content)
			c.Messages[0].Recipient = to
			answer, err := in.Submit(ctx, c)
			if err != nil {
				t.Fatal(err)
			}
			return answer.Spilled
		}
		first := submit("first", 1)
		store.back.Store(true)
		in.OnDrainResult(nil)
		if other, second := submit("other", 2), submit("second", 1); !first || other || !second {
			t.Errorf("got spilled: first %t, second %t, other recipient %t; want true, true, false", first, second, other)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if !slices.Equal(store.stored, []string{"other"}) {
			t.Errorf("got stored %q past the spill, want the call of the other recipient", store.stored)
		}
		if err := sp.Close(); err != nil {
			t.Error(err)
		}
	})
}
