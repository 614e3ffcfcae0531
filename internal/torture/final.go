package torture

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/esh3artech/esh3ar/internal/torture/checker"
)

// collectFinalStates records what the API returns for every message at rest: the listing, which also contains messages
// that no client was told of; each message missing from the listing, by its id; and each history. Then it waits until
// the event consumers have caught up.
func (r *round) collectFinalStates(ctx context.Context) error {
	if err := r.collectListing(ctx, "/v1/messages", checker.Final); err != nil {
		return err
	}
	var unlisted, ids []checker.Ref
	r.ledger.ask(func(b *checker.Book) { unlisted = b.Unlisted() })
	if err := r.each(ctx, unlisted, r.collectMessage); err != nil {
		return err
	}
	r.ledger.ask(func(b *checker.Book) { ids = b.Listed() })
	if err := r.each(ctx, ids, r.collectHistory); err != nil {
		return err
	}
	if err := r.collectListing(ctx, "/v1/dead-letters", checker.Dead); err != nil {
		return err
	}
	return r.catchUp(ctx)
}

// collectListing records each item of a listing.
func (r *round) collectListing(ctx context.Context, path string, kind checker.Kind) error {
	return r.pages(ctx, r.client, path, url.Values{"from": {stamp(r.since)}}, func(items []record) error {
		for i := range items {
			r.note(items[i].entry(kind))
		}
		return nil
	})
}

func (m *record) entry(kind checker.Kind) checker.Entry {
	return checker.Entry{
		Kind: kind, Number: m.number(), To: numberOf(m.Recipient), ID: m.ID, Seq: m.Seq, Lane: m.Priority, Status: m.Status, Reason: m.Reason,
		Life: m.Life, Attempt: m.Attempts,
	}
}

// concurrentReads bounds the reads in flight.
const concurrentReads = 4

// each calls ask for every message, concurrently.
func (r *round) each(ctx context.Context, refs []checker.Ref, ask func(ctx context.Context, ref checker.Ref) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrentReads)
	for _, ref := range refs {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return ask(ctx, ref) })
	}
	return group.Wait()
}

func (r *round) collectMessage(ctx context.Context, ref checker.Ref) error {
	var m record
	found, err := r.get(ctx, r.client, "/v1/messages/"+ref.ID, &m)
	if err != nil {
		return err
	}
	if found {
		r.note(m.entry(checker.Final))
		r.note(checker.Entry{Kind: checker.Unlisted, ID: ref.ID, Number: ref.Number})
	}
	return nil
}

func (r *round) collectHistory(ctx context.Context, ref checker.Ref) error {
	marks, err := r.history(ctx, r.client, ref.ID)
	if err != nil {
		return err
	}
	r.note(checker.Entry{Kind: checker.History, ID: ref.ID, Number: ref.Number, Events: marks})
	return nil
}

func (r *run) history(ctx context.Context, client *http.Client, id string) ([]checker.Mark, error) {
	var history struct{ Items []event }
	if _, err := r.get(ctx, client, "/v1/messages/"+id+"/events", &history); err != nil {
		return nil, err
	}
	marks := make([]checker.Mark, len(history.Items))
	for i := range history.Items {
		marks[i] = history.Items[i].mark()
	}
	return marks, nil
}

// catchUp waits until the consumers have seen all events. It gives up when they make no progress for stuckAfter.
func (r *round) catchUp(ctx context.Context) error {
	best, since := -1, time.Now()
	for {
		behind := 0
		r.ledger.ask(func(b *checker.Book) { behind = b.Behind() })
		if best < 0 || behind < best {
			best, since = behind, time.Now()
		}
		if behind == 0 || time.Since(since) > stuckAfter {
			return nil // the verdict lists the missing events
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}
