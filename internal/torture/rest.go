package torture

import (
	"context"
	"net/url"
	"time"
)

// stuckAfter is how long nothing may come nearer to its end before the round is judged as it is: the verdict names what
// did not end. It is longer than anything that a message may wait for by right.
const stuckAfter = 30 * time.Second

// quietChecks is how often in a row nothing may be under way before it is believed.
const quietChecks = 2

// rest waits until no message of the round is on its way and no phone waits for a completion.
func (r *round) rest(ctx context.Context) error {
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

// spilled counts what the nodes keep on their own disks: the messages that wait for the store, and the calls that it will
// never take.
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

// open counts the messages of the round that have not ended, as the node says.
func (r *round) open(ctx context.Context) (n int, err error) {
	query := url.Values{"status": {"scheduled,queued,pending,sent"}, "from": {stamp(r.since)}}
	err = r.pages(ctx, r.client, "/v1/messages", query, func(items []record) error {
		n += len(items)
		return nil
	})
	return n, err
}
