package node

import (
	"context"

	"github.com/esh3artech/esh3ar"
)

// untilDrained is a verifier that gives up when the node drains: a walk over a large store would hold up its end.
type untilDrained struct {
	esh3ar.Verifier
	draining func() context.Context // returns the signal
}

// Verify realises esh3ar.Verifier.
func (v untilDrained) Verify(ctx context.Context, repair bool, found func(esh3ar.Finding)) (esh3ar.VerifyReport, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(v.draining(), cancel)()
	return v.Verifier.Verify(ctx, repair, found)
}
