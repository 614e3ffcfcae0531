package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// dlqCmd is the command dlq, which manages dead letters. The file of each subcommand has its flags and its Run.
type dlqCmd struct {
	List   dlqListCmd   `cmd:"" help:"List dead letters, latest failure first."`
	Show   dlqShowCmd   `cmd:"" help:"Show one dead letter: payload, reason and history."`
	Replay dlqReplayCmd `cmd:"" help:"Begin the next life of dead letters: by id, or all that match filters."`
	Delete dlqDeleteCmd `cmd:"" help:"Take messages out of the dead letters for good: by id, or all that match filters."`
}

// letter is a dead letter with the fields that a terminal shows.
type letter struct {
	ID            string `json:"id"`
	Recipient     string `json:"recipientPhoneNumber"`
	FailedAt      string `json:"endedAt"`
	Attempts      int    `json:"attempts"`
	Reason        string `json:"failureReason"`
	CorrelationID string `json:"correlationId"`
}

const letterPath = "/v1/dead-letters"

// maxPage is the largest page of the API, and the largest number of ids in one call.
const maxPage = 500

// letterFilter selects the dead letters of a command.
type letterFilter struct {
	Recipient     string `help:"Only letters to this phone number."`
	CorrelationID string `name:"correlation-id" help:"Only letters with this reference of yours."`
	Reason        string `help:"Only letters that failed for this reason, such as attempts_spent."`
	From          string `placeholder:"TIME" help:"Only what failed at this RFC 3339 time or later."`
	Until         string `placeholder:"TIME" help:"Only what failed before this RFC 3339 time."`
}

// letterFlags maps the API's parameters to the flags of the filters.
var letterFlags = map[string]string{
	"recipientPhoneNumber": "--recipient", "correlationId": "--correlation-id", "reason": "--reason", "from": "--from", "until": "--until",
}

// fields returns the filters that are set, by the API's names.
func (f *letterFilter) fields() map[string]string {
	fields := map[string]string{}
	for name, value := range map[string]string{
		"recipientPhoneNumber": f.Recipient, "correlationId": f.CorrelationID, "reason": f.Reason, "from": f.From, "until": f.Until,
	} {
		if value != "" {
			fields[name] = value
		}
	}
	return fields
}

// check returns a usage error for the first invalid flag. The node checks everything else.
func (f *letterFilter) check() error {
	for flag, value := range map[string]string{"--from": f.From, "--until": f.Until} {
		if value == "" {
			continue
		}
		if _, err := parseTime(flag, value); err != nil {
			return err
		}
	}
	return nil
}

// letterChoice selects the letters that a command changes: those with the given ids, or all that match.
type letterChoice struct {
	letterFilter `embed:""`
	IDs          []string `arg:"" optional:"" name:"id" help:"Ids of dead letters."`
	All          bool     `help:"All dead letters, or all that match the filters."`
}

func (c *letterChoice) check(verb string) error {
	filtered := len(c.fields()) > 0
	switch {
	case len(c.IDs) > 0 && (c.All || filtered):
		return usage.Errorf("give ids, or --all with filters, not both")
	case len(c.IDs) == 0 && !c.All && filtered:
		return usage.Errorf("--all is missing: say it to %s every dead letter that the filters match", verb)
	case len(c.IDs) == 0 && !c.All:
		return usage.Errorf("give the ids of the dead letters to %s, or --all", verb)
	}
	for _, id := range c.IDs {
		if _, err := esh3ar.ParseMessageID(id); err != nil {
			return usage.Errorf("%q is not the id of a message", id)
		}
	}
	return c.letterFilter.check()
}

// ready prepares the client of a dlq command.
func (f *clientFlags) ready() error {
	if err := f.resolve(); err != nil {
		return err
	}
	return f.needAPIKey()
}

// walkLetters calls visit for each dead letter that matches, in pages of size, until visit returns false or an error.
func (f *clientFlags) walkLetters(ctx context.Context, filter *letterFilter, size int, visit func(raw json.RawMessage) (more bool, err error)) error {
	q := url.Values{"limit": {strconv.Itoa(size)}}
	for name, value := range filter.fields() {
		q.Set(name, value)
	}
	for {
		var page struct {
			Items      []json.RawMessage `json:"items"`
			NextCursor string            `json:"nextCursor"`
		}
		if err := f.call(ctx, http.MethodGet, letterPath+"?"+q.Encode(), f.APIKey, nil, nil, &page); err != nil {
			return flagged(err, letterFlags)
		}
		for _, raw := range page.Items {
			if more, err := visit(raw); err != nil || !more {
				return err
			}
		}
		if page.NextCursor == "" {
			return nil
		}
		q.Set("cursor", page.NextCursor)
	}
}

// letterIDs returns the ids of all letters that match, 16 bytes each.
func (f *clientFlags) letterIDs(ctx context.Context, filter *letterFilter) (ids []esh3ar.MessageID, err error) {
	err = f.walkLetters(ctx, filter, maxPage, func(raw json.RawMessage) (bool, error) {
		var one struct {
			ID string `json:"id"`
		}
		if err := json.Unmarshal(raw, &one); err != nil {
			return false, err
		}
		id, err := esh3ar.ParseMessageID(one.ID)
		ids = append(ids, id)
		return true, err
	})
	return ids, err
}

// interrupted returns the error of a command that ended early. An interrupt is an error, because only part of the work is done.
func interrupted(ctx context.Context, err error, verb string, done int) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted after %d were %s", done, verb)
	case done > 0:
		return fmt.Errorf("after %d were %s: %w", done, verb, err)
	default:
		return err
	}
}

// pacer limits a rate: n items take at least n/rate seconds.
type pacer struct {
	rate  int // items per second; 0: unlimited
	start time.Time
}

// wait returns the time to wait before the next items if the given number is done.
func (p pacer) wait(done int, now time.Time) time.Duration {
	if p.rate == 0 {
		return 0
	}
	return max(0, time.Duration(done)*time.Second/time.Duration(p.rate)-now.Sub(p.start))
}

// step returns the number of items that are done at once: those of a tenth of a second, so that the load is even.
func (p pacer) step() int {
	if p.rate == 0 {
		return maxPage
	}
	return min(max(p.rate/10, 1), maxPage)
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
