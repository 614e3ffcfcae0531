package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"text/tabwriter"

	"github.com/esh3artech/esh3ar/internal/httpapi"
	"github.com/esh3artech/esh3ar/internal/node"
)

// spillListCmd prints a spill: of a running node with --url, otherwise of the data directory.
type spillListCmd struct {
	DataDir    string `name:"data-dir" default:"./data" help:"Data directory of a stopped node; with --url: where to look for bootstrap.json."`
	URL        string `name:"url" help:"Ask this running node."`
	AdminToken string `name:"admin-token" help:"With --url: the admin token (default: from bootstrap.json in the data directory)."`
	JSON       bool   `name:"json" help:"Print it as JSON."`

	node.CAFlags `embed:""`
}

func (c *spillListCmd) Run(ctx context.Context, s node.Streams) error {
	look := c.offline
	if c.URL != "" {
		look = c.live
	}
	report, err := look(ctx, s)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.Out, report, "  ")
	}
	return printSpill(s, &report)
}

func (c *spillListCmd) live(ctx context.Context, _ node.Streams) (httpapi.SpillReport, error) {
	var report httpapi.SpillReport
	client := clientFlags{URL: c.URL, AdminToken: c.AdminToken, DataDir: c.DataDir, CAFlags: c.CAFlags}
	if err := client.resolve(); err != nil {
		return report, err
	}
	if err := client.needAdminToken(); err != nil {
		return report, err
	}
	err := client.call(ctx, http.MethodGet, "/admin/v1/spill", client.AdminToken, nil, nil, &report)
	return report, err
}

func (c *spillListCmd) offline(_ context.Context, s node.Streams) (report httpapi.SpillReport, err error) {
	kept, err := openStopped(c.DataDir, s)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, kept.Close()) }()
	return node.SpillReport(kept, math.MaxInt)
}

// printSpill prints one line about the waiting calls and a row for each call in quarantine.
func printSpill(s node.Streams, r *httpapi.SpillReport) error {
	fmt.Fprintf(s.Out, "%d messages in %d calls wait for the database, %d calls are in quarantine", r.Messages, r.Calls, r.Quarantined)
	if !r.OldestAcceptedAt.IsZero() {
		fmt.Fprintf(s.Out, "; the oldest was accepted at %s", r.OldestAcceptedAt)
	}
	fmt.Fprintln(s.Out)
	if len(r.Quarantine) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "IN QUARANTINE SINCE\tBUSINESS\tMESSAGES\tFIRST MESSAGE\tREASON")
	for i := range r.Quarantine {
		q := &r.Quarantine[i]
		first := "cannot be read"
		if len(q.MessageIDs) > 0 {
			first = q.MessageIDs[0].String()
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", q.At, printable(q.BusinessID), len(q.MessageIDs), printable(first), printable(q.Reason))
	}
	return table.Flush()
}
