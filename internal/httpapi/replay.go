package httpapi

import (
	"context"
	"net/http"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/wire"
)

// defaultReplayLimit is the number of dead letters that one call replays if it sets no limit.
const defaultReplayLimit = 100

// replayChange returns the change that starts the next life of a dead letter. The change applies only to the life that was
// read: if a concurrent call has replayed the message and it has failed again, it is not replayed twice.
func replayChange(r *esh3ar.Record, at esh3ar.Time) esh3ar.Change {
	return esh3ar.Change{
		Message: r.ID, Recipient: r.Recipient, Business: r.Business, Life: r.Life, To: esh3ar.Queued, Replay: true, At: at,
	}
}

// replayDeadLetter implements POST /v1/dead-letters/{id}/replay.
func (a *API) replayDeadLetter(x *exchange) error {
	if err := x.readObject(); err != nil {
		return err
	}
	record, err := a.ownDeadLetter(x)
	if err != nil {
		return err
	}
	at := esh3ar.TimeOf(a.Now())
	results, err := a.Store.Settle(x.r.Context(), []esh3ar.Change{replayChange(&record, at)})
	if err != nil {
		return err
	}
	if !results[0].Applied {
		return deadLetterNotFound(x)
	}
	a.notifyRequeued(results)
	// The answer is built from the result of the commit. Another read could fail after the commit.
	record.Seq, record.Progress = results[0].Seq, results[0].Progress
	if record.TTL > 0 {
		record.ExpiresAt = at.Add(record.TTL)
	}
	x.buffer = appendRecord(x.buffer[:0], &record)
	return x.answer(http.StatusAccepted, x.buffer)
}

// notifyRequeued calls OnRequeued for each message that was replayed, and returns their number.
func (a *API) notifyRequeued(results []esh3ar.Settled) int {
	requeued := 0
	for i := range results {
		if r := &results[i]; r.Applied {
			a.OnRequeued(r.Recipient, r.Seq, r.Message, r.Progress.Life)
			requeued++
		}
	}
	return requeued
}

// replayDeadLetters implements POST /v1/dead-letters/replay. One call replays a bounded number of dead letters in one
// commit, so an error means that nothing was replayed. The answer contains the upper time bound of the failures that it
// covered. A caller that passes this bound in its next calls does not replay messages that failed again in between.
func (a *API) replayDeadLetters(x *exchange) error {
	now := esh3ar.TimeOf(a.Now())
	q, err := a.replayFilters(x)
	if err != nil {
		return err
	}
	if q.Until.IsZero() || q.Until > now {
		q.Until = now
	}
	if err := x.reserve(int64(q.Limit) * recordSize); err != nil {
		return err
	}
	var changes []esh3ar.Change
	var more bool
	if err := x.runQuery(func() (err error) {
		changes, more, err = a.replayable(x.r.Context(), q, now)
		return err
	}); err != nil {
		return err
	}
	var results []esh3ar.Settled
	if len(changes) > 0 {
		if results, err = a.Store.Settle(x.r.Context(), changes); err != nil {
			return err
		}
	}
	return x.answerReplayed(a.notifyRequeued(results), more, q.Until)
}

func (x *exchange) answerReplayed(n int, more bool, until esh3ar.Time) error {
	o := wire.Begin(x.buffer[:0])
	o.Uint("replayed", uint64(n))
	o.Text("until", until)
	dst := append(o.Dst, `,"more":false}`...)
	if more {
		dst = append(o.Dst, `,"more":true}`...)
	}
	x.buffer = dst
	return x.answer(http.StatusOK, x.buffer)
}

// replayable collects up to q.Limit changes and reports whether there are more dead letters. Pages of a store may be empty
// before the end, because a store bounds the rows that one page scans.
func (a *API) replayable(ctx context.Context, q esh3ar.DeadLetterQuery, at esh3ar.Time) (changes []esh3ar.Change, more bool, err error) {
	limit := q.Limit
	for {
		q.Limit = limit - len(changes) + 1
		page, err := a.Store.DeadLetters(ctx, q)
		if err != nil {
			return nil, false, err
		}
		for i := range page.Records {
			if len(changes) == limit {
				return changes, true, nil
			}
			changes = append(changes, replayChange(&page.Records[i], at))
		}
		if page.NextCursor == "" {
			return changes, false, nil
		}
		q.Cursor = page.NextCursor
	}
}

// replayFilters decodes the body of replayDeadLetters.
func (a *API) replayFilters(x *exchange) (esh3ar.DeadLetterQuery, error) {
	q := esh3ar.DeadLetterQuery{Business: x.caller.Business, Limit: defaultReplayLimit}
	err := x.readObject(
		a.phoneMember("recipientPhoneNumber", false, &q.Recipient),
		stringMember("correlationId", esh3ar.MaxCorrelationIDLength, &q.CorrelationID),
		stringMember("reason", maxReason, &q.Reason),
		member{name: "from", read: func(in *input, at jsonPath) (err error) {
			q.From, _, err = in.time(at)
			return err
		}},
		member{name: "until", read: func(in *input, at jsonPath) error {
			t, ok, err := in.time(at)
			if ok {
				q.Until = untilBound(t)
			}
			return err
		}},
		member{name: "limit", read: func(in *input, at jsonPath) error {
			n, ok, err := in.integer(at, 1, maxLimit)
			if ok {
				q.Limit = int(n)
			}
			return err
		}},
	)
	return q, err
}
