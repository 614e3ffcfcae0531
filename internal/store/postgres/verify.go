package postgres

import (
	"context"

	"github.com/esh3artech/esh3ar"
)

// Verify realises esh3ar.Verifier.
func (s *Store) Verify(ctx context.Context, repair bool, found func(esh3ar.Finding)) (esh3ar.Survey, error) {
	return esh3ar.Survey{}, esh3ar.Errorf(esh3ar.NotSupported, "soon")
}
