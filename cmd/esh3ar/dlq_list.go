package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"

	"github.com/esh3artech/esh3ar/internal/node"
	"github.com/esh3artech/esh3ar/internal/usage"
)

type dlqListCmd struct {
	clientFlags  `embed:""`
	letterFilter `embed:""`
	Limit        int  `default:"50" help:"Show at most this many; 0: all."`
	JSON         bool `name:"json" help:"Print each letter as one line of JSON."`
}

func (c *dlqListCmd) Run(ctx context.Context, s node.Streams) error {
	if c.Limit < 0 {
		return usage.Errorf("--limit: must not be negative")
	}
	if err := c.letterFilter.check(); err != nil {
		return err
	}
	if err := c.ready(); err != nil {
		return err
	}
	table := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	shown, more, err := c.print(ctx, s, table)
	if err == nil {
		err = table.Flush()
	}
	switch {
	case err != nil:
		return interrupted(ctx, err, "listed", shown)
	case shown == 0:
		fmt.Fprintln(s.Err, "no dead letters")
	case more:
		fmt.Fprintf(s.Err, "there are more than %d: narrow them with filters, or show more with --limit\n", shown)
	}
	return nil
}

// print writes at most Limit letters and returns their number; more reports whether others match.
func (c *dlqListCmd) print(ctx context.Context, s node.Streams, table *tabwriter.Writer) (shown int, more bool, err error) {
	size := maxPage
	if c.Limit > 0 {
		size = min(c.Limit+1, maxPage) // one more than is printed, to learn whether others match
	}
	err = c.walkLetters(ctx, &c.letterFilter, size, func(raw json.RawMessage) (bool, error) {
		more = c.Limit > 0 && shown == c.Limit
		if more {
			return false, nil
		}
		shown++
		if c.JSON {
			_, err := fmt.Fprintf(s.Out, "%s\n", printableJSON(raw))
			return true, err
		}
		return true, printLetter(table, raw, shown == 1)
	})
	return shown, more, err
}

func printLetter(table *tabwriter.Writer, raw json.RawMessage, first bool) error {
	var l letter
	if err := json.Unmarshal(raw, &l); err != nil {
		return err
	}
	if first {
		fmt.Fprintln(table, "ID\tRECIPIENT\tFAILED AT\tATTEMPTS\tREASON\tCORRELATION ID")
	}
	_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s\t%s\n", printable(l.ID), printable(l.Recipient), printable(l.FailedAt), l.Attempts, printable(l.Reason), printable(l.CorrelationID))
	return err
}
