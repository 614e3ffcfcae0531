package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/node"
	"github.com/esh3artech/esh3ar/internal/usage"
)

type dlqShowCmd struct {
	clientFlags `embed:""`
	ID          string `arg:"" help:"Id of the dead letter."`
	JSON        bool   `name:"json" help:"Print it as JSON."`
}

// wholeLetter is a dead letter with all of its fields.
type wholeLetter struct {
	letter
	Status     string            `json:"status"`
	Content    string            `json:"messageContent"`
	Subject    string            `json:"subject"`
	Priority   string            `json:"priority"`
	CreatedAt  string            `json:"createdAt"`
	SendAt     string            `json:"sendAt"`
	TTLSeconds int               `json:"ttlSeconds"`
	Life       int               `json:"life"`
	Metadata   map[string]string `json:"metadata"`
	Events     []esh3ar.Event    `json:"events"`
}

func (c *dlqShowCmd) Run(ctx context.Context, s node.Streams) error {
	if _, err := esh3ar.ParseMessageID(c.ID); err != nil {
		return usage.Errorf("%q is not the id of a message", c.ID)
	}
	if err := c.ready(); err != nil {
		return err
	}
	var raw json.RawMessage
	if err := c.call(ctx, http.MethodGet, letterPath+"/"+c.ID, c.APIKey, nil, nil, &raw); err != nil {
		return err
	}
	if c.JSON {
		_, err := fmt.Fprintf(s.Out, "%s\n", printableJSON(raw))
		return err
	}
	var l wholeLetter
	if err := json.Unmarshal(raw, &l); err != nil {
		return err
	}
	return l.print(s)
}

func (l *wholeLetter) print(s node.Streams) error {
	table := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	l.printFields(table)
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(s.Out, "\n%s\n\n", printableLines(l.Content))
	fmt.Fprintln(table, "VERSION\tLIFE\tSTATUS\tAT\tATTEMPT\tREASON")
	for _, e := range l.Events {
		fmt.Fprintf(table, "%d\t%d\t%s\t%s\t%d\t%s\n", e.Version, e.Life, e.Status, e.At, e.Attempt, printable(e.Reason))
	}
	return table.Flush()
}

func (l *wholeLetter) printFields(table *tabwriter.Writer) {
	ttl := ""
	if l.TTLSeconds > 0 {
		ttl = strconv.Itoa(l.TTLSeconds) + " s"
	}
	for _, row := range [][2]string{
		{"id", l.ID},
		{"recipient", l.Recipient},
		{"status", l.Status},
		{"reason", l.Reason},
		{"failed at", l.FailedAt},
		{"attempts", strconv.Itoa(l.Attempts)},
		{"life", strconv.Itoa(l.Life)},
		{"created at", l.CreatedAt},
		{"send at", l.SendAt},
		{"time to live", ttl},
		{"priority", l.Priority},
		{"correlation id", l.CorrelationID},
		{"subject", l.Subject},
	} {
		if row[1] != "" {
			fmt.Fprintf(table, "%s\t%s\n", row[0], printable(row[1]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(l.Metadata)) {
		fmt.Fprintf(table, "metadata\t%s=%s\n", printable(name), printable(l.Metadata[name]))
	}
}

// printableLines is like printable for text of several lines: it keeps line breaks.
func printableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = "  " + printable(lines[i])
	}
	return strings.Join(lines, "\n")
}
