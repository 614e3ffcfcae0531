package embedded

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
)

// Waiting implements esh3ar.WaitingCounter. The undelivered index does not name the business, so each message of the walk
// costs a read of its body.
func (s *Store) Waiting(ctx context.Context, q esh3ar.WaitingQuery) (n int, err error) {
	v, err := s.read()
	if err != nil {
		return 0, err
	}
	defer v.release()
	floor := s.floors.of(q.Recipient, q.Lane)
	it, err := v.snapshot.NewIter(&pebble.IterOptions{
		LowerBound: appendWaiting(nil, q.Recipient, q.Lane, floor+1),
		UpperBound: successor(appendWaiting(nil, q.Recipient, q.Lane, 0)[:waitingKeyLen-8]),
	})
	if err != nil {
		return 0, readError("count what waits", err)
	}
	defer it.Close()
	for valid, walked := it.Last(), 0; valid && walked < q.Walk && n < q.Limit; valid = it.Prev() {
		if walked++; ctx.Err() != nil {
			return n, esh3ar.Errorf(esh3ar.Abandoned, "count what waits: %w", ctx.Err())
		}
		r, _, seq, ok := parseWaiting(it.Key())
		if !ok {
			return n, readError("count what waits", fmt.Errorf("inbox of %s: %w", q.Recipient, codec.ErrDamaged))
		}
		m, ok, err := readBody(v.snapshot, r, seq, esh3ar.MessageID{})
		if err != nil {
			return n, readError("count what waits", err)
		}
		if ok && m.Business == q.Business {
			n++
		}
	}
	if err := it.Error(); err != nil {
		return n, readError("count what waits", err)
	}
	return n, nil
}
