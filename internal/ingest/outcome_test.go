package ingest_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/ingest"
	"github.com/esh3artech/esh3ar/internal/ingest/spill"
)

// unknownStore is a store whose commits have an unknown outcome.
type unknownStore struct{}

func (unknownStore) Append(context.Context, []*esh3ar.Call) ([]esh3ar.Answer, error) {
	return nil, esh3ar.Errorf(esh3ar.OutcomeUnknown, "cut off")
}

// TestIntake_UnknownOutcomeAndFullSpill_StaysUnknown: the call may be in the store. If the spill cannot take it, the answer must be that the
// outcome is unknown, not that nothing was stored.
func TestIntake_UnknownOutcomeAndFullSpill_StaysUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sp, err := spill.Open("spill", spill.Options{FS: vfs.NewMem(), MaxBytes: 1})
		if err != nil {
			t.Fatal(err)
		}
		in := ingest.New(unknownStore{}, nopPublisher{}, ingest.Options{Spill: sp})
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- in.Run(ctx) }()
		if _, err := in.Submit(ctx, call(esh3ar.NewBusinessID(), esh3ar.Normal, "perhaps")); esh3ar.CodeOf(err) != esh3ar.OutcomeUnknown {
			t.Errorf("got %v, want outcome_unknown", err)
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
