package torture

import (
	"context"
	"net/url"
	"time"
)

// stuckAfter is the time without progress after which a round is judged as it is; the verdict lists the unfinished
// messages. It exceeds every timeout that may legitimately hold a message.
const stuckAfter = 30 * time.Second

// quietChecks is the number of consecutive checks that must find nothing in flight.
const quietChecks = 2

// awaitQuiescence waits until no message of the round is in flight and no phone waits for a completion.
func (r *round) awaitQuiescence(ctx context.Context) error {
	best, since := -1, time.Now()
	for quiet := 0; quiet < quietChecks; {
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return err
		}
		open, err := r.open(ctx)
		if err != nil {
			return err
		}
		spilled, _, err := r.spilled(ctx)
		if err != nil {
			return err
		}
		if open += spilled + int(r.pending.Load()); open == 0 {
			quiet++
			continue
		}
		quiet = 0
		if best < 0 || open < best {
			best, since = open, time.Now()
		}
		if time.Since(since) > stuckAfter {
			return nil
		}
	}
	return nil
}

// spilled counts the contents of the nodes' spills: messages that wait for the store, and quarantined calls.
func (r *round) spilled(ctx context.Context) (waiting, aside int, err error) {
	for _, n := range r.fleet.nodes {
		var report struct{ Messages, Quarantined int }
		if _, err := r.getFrom(ctx, r.client, n, "/admin/v1/spill", &report); err != nil {
			return 0, 0, err
		}
		waiting, aside = waiting+report.Messages, aside+report.Quarantined
	}
	return waiting, aside, nil
}

// open counts the messages of the round without a final status, as the API reports them.
func (r *round) open(ctx context.Context) (n int, err error) {
	query := url.Values{"status": {"scheduled,queued,pending,sent"}, "from": {stamp(r.since)}}
	err = r.pages(ctx, r.client, "/v1/messages", query, func(items []record) error {
		n += len(items)
		return nil
	})
	return n, err
}
