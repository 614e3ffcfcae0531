package httpapi

import (
	"context"
	"net/http"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/wire"
)

// defaultReplay is how many dead letters one step replays unless the caller says.
const defaultReplay = 100

// replayChange asks for the next life of a dead letter. It names the life that was seen: a letter that somebody else
// replays meanwhile, and that fails again, is not replayed twice.
func replayChange(r *esh3ar.Record, at esh3ar.Time) esh3ar.Change {
	return esh3ar.Change{
		Message: r.ID, Recipient: r.Recipient, Business: r.Business, Life: r.Life, To: esh3ar.Queued, Replay: true, At: at,
	}
}

// replay is POST /v1/dead-letters/{id}/replay.
func (a *API) replay(x *exchange) error {
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
		return noDeadLetter(x)
	}
	a.enter(results)
	// What the commit made of it is shown from here: an answer after the commit must not depend on another read.
	record.Seq, record.Progress = results[0].Seq, results[0].Progress
	if record.TTL > 0 {
		record.ExpiresAt = at.Add(record.TTL)
	}
	x.buffer = appendRecord(x.buffer[:0], &record)
	return x.answer(http.StatusAccepted, x.buffer)
}

// enter tells the recipients' connections what is in their inboxes anew, and counts it.
func (a *API) enter(results []esh3ar.Settled) (entered int) {
	for i := range results {
		if r := &results[i]; r.Applied {
			a.Entered(r.Recipient, r.Seq, r.Message, r.Progress.Life)
			entered++
		}
	}
	return entered
}

// replayMany is POST /v1/dead-letters/replay: one step, bounded and in one commit, so that an error means that nothing was
// replayed. The answer carries the end of the failures it took: given again with the next step, a letter that fails anew
// is not replayed in a circle.
func (a *API) replayMany(x *exchange) error {
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
	if err := x.query(func() (err error) {
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
	return x.answerReplayed(a.enter(results), more, q.Until)
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

// replayable gathers the changes of one step. It reads one letter more than it takes, to tell whether there are more. The
// pages of a store are bounded in what they walk over, and may be empty before the end.
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

// replayFilters reads the body of replayMany.
func (a *API) replayFilters(x *exchange) (esh3ar.DeadLetterQuery, error) {
	q := esh3ar.DeadLetterQuery{Business: x.caller.Business, Limit: defaultReplay}
	err := x.readObject(
		a.phoneMember("recipientPhoneNumber", false, &q.Recipient),
		wordMember("correlationId", esh3ar.MaxCorrelationIDLength, &q.CorrelationID),
		wordMember("reason", maxReason, &q.Reason),
		member{name: "from", read: func(in *input, at place) (err error) {
			q.From, _, err = in.time(at)
			return err
		}},
		member{name: "until", read: func(in *input, at place) error {
			t, ok, err := in.time(at)
			if ok {
				q.Until = bound(t)
			}
			return err
		}},
		member{name: "limit", read: func(in *input, at place) error {
			n, ok, err := in.whole(at, 1, maxLimit)
			if ok {
				q.Limit = int(n)
			}
			return err
		}},
	)
	return q, err
}
