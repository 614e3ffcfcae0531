package node

import (
	"context"

	"github.com/esh3artech/esh3ar"
)

// drainGuard is a verifier that stops when the node drains, since a walk over a large store would delay the shutdown.
type drainGuard struct {
	esh3ar.Verifier
	draining func() context.Context // returns a context that ends when the node drains
}

// Verify implements esh3ar.Verifier.
func (v drainGuard) Verify(ctx context.Context, repair bool, found func(esh3ar.Finding)) (esh3ar.VerifyReport, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(v.draining(), cancel)()
	return v.Verifier.Verify(ctx, repair, found)
}
