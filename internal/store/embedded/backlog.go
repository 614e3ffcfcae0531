package embedded

import (
	"bytes"
	"context"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
)

// Backlog implements esh3ar.BacklogCounter. It walks keys only, not rows.
func (s *Store) Backlog(ctx context.Context, most int) (esh3ar.Backlog, error) {
	var b esh3ar.Backlog
	v, err := s.acquireView()
	if err != nil {
		return b, err
	}
	defer v.release()
	for _, kind := range []struct {
		key   byte
		count *int
	}{{undeliveredKey, &b.Undelivered}, {unnumberedStepsKey, &b.Scheduled}, {deadLetterKey, &b.DeadLetters}} {
		if *kind.count, err = countKeys(ctx, v, kind.key, most); err != nil {
			return b, err
		}
	}
	parked, err := countKeys(ctx, v, unnumberedBodyKey, most)
	b.Scheduled = max(parked-b.Scheduled, 0) // a scheduled message has no steps yet
	return b, err
}

// countKeys counts the keys of a type, up to most.
func countKeys(ctx context.Context, v *view, kind byte, most int) (int, error) {
	var n int
	it, err := v.snapshot.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		return 0, readError("count", err)
	}
	defer it.Close()
	for valid := it.First(); valid && n < most && bytes.HasPrefix(it.Key(), []byte{kind}); valid = it.Next() {
		n++
		if n%10_000 == 0 && ctx.Err() != nil {
			return n, esh3ar.Errorf(esh3ar.Abandoned, "count: %w", context.Cause(ctx))
		}
	}
	if err := it.Error(); err != nil {
		return n, readError("count", err)
	}
	return n, nil
}
