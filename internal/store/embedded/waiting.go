package embedded

import (
	"context"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
)

// CountWaiting implements esh3ar.WaitingCounter. The undelivered index does not contain the business, so each message costs a
// read of its body.
func (s *Store) CountWaiting(ctx context.Context, q esh3ar.WaitingQuery) (int, error) {
	var n int
	v, err := s.acquireView()
	if err != nil {
		return 0, err
	}
	defer v.release()
	mark := s.lowWater.at(q.Recipient, q.Lane)
	it, err := v.snapshot.NewIter(&pebble.IterOptions{
		LowerBound: appendUndelivered(nil, q.Recipient, q.Lane, mark+1),
		UpperBound: successor(appendUndelivered(nil, q.Recipient, q.Lane, 0)[:undeliveredKeyLen-8]),
	})
	if err != nil {
		return 0, readError("count undelivered messages", err)
	}
	defer it.Close()
	for valid, walked := it.Last(), 0; valid && walked < q.Walk && n < q.Limit; valid = it.Prev() {
		walked++
		if ctx.Err() != nil {
			return n, esh3ar.Errorf(esh3ar.Abandoned, "count undelivered messages: %w", ctx.Err())
		}
		r, _, seq, ok := parseUndelivered(it.Key())
		if !ok {
			return n, readError("count undelivered messages", fmt.Errorf("inbox of %s: %w", q.Recipient, codec.ErrDamaged))
		}
		m, ok, err := readBody(v.snapshot, r, seq, esh3ar.MessageID{})
		if err != nil {
			return n, readError("count undelivered messages", err)
		}
		if ok && m.Business == q.Business {
			n++
		}
	}
	if err := it.Error(); err != nil {
		return n, readError("count undelivered messages", err)
	}
	return n, nil
}
