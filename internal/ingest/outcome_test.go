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

// cutOff is a store whose answer never comes: it may have taken everything.
type cutOff struct{}

func (cutOff) Append(context.Context, []*esh3ar.Call) ([]esh3ar.Answer, error) {
	return nil, esh3ar.Errorf(esh3ar.OutcomeUnknown, "cut off")
}

// TestAFullSpillDoesNotMakeNoOfPerhaps: the call may be in the store, and where it cannot be kept here its caller must hear
// that nobody knows, not that nothing was taken.
func TestAFullSpillDoesNotMakeNoOfPerhaps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept, err := spill.Open("spill", spill.Options{FS: vfs.NewMem(), MaxBytes: 1})
		if err != nil {
			t.Fatal(err)
		}
		in := ingest.New(cutOff{}, quiet{}, ingest.Options{Spill: kept})
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- in.Run(ctx) }()
		if _, err := in.Submit(ctx, call(esh3ar.NewBusinessID(), esh3ar.Normal, "perhaps")); esh3ar.CodeOf(err) != esh3ar.OutcomeUnknown {
			t.Errorf("told %v", err)
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
