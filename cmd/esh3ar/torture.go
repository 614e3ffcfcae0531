package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/esh3artech/esh3ar/internal/node"
	"github.com/esh3artech/esh3ar/internal/torture"
	"github.com/esh3artech/esh3ar/internal/torture/checker"
	"github.com/esh3artech/esh3ar/internal/usage"
)

type tortureCmd struct {
	Kills     int     `default:"20" help:"How often to kill -9 a process; 0: until --minutes are over."`
	Minutes   float64 `help:"Go on for this long instead of a number of kills; 0.5 is half a minute."`
	Cluster   bool    `help:"Torture three nodes on a PostgreSQL and a Redis Cluster of its own, with all of these and the links between them."`
	PowerCuts bool    `name:"power-cuts" help:"Each kill is a power cut: what was not fsynced is lost."`
	Seed      uint64  `help:"Seed of all choices (default: a new one, printed)."`
	Senders   int     `default:"8" help:"Businesses that send at the same time."`
	Phones    int     `default:"12" help:"Phone numbers, at least 6; every third has two devices."`
	Keep      string  `placeholder:"FOLDER" help:"Keep data and ledger there (default: only when a promise was broken)."`
	JSON      string  `name:"json" placeholder:"FILE" help:"Write the verdict as JSON."`
}

// check returns a usage error for the first invalid flag.
func (c *tortureCmd) check() error {
	switch {
	case c.Kills < 0:
		return usage.Errorf("--kills: must not be negative")
	case c.Minutes < 0 || c.Minutes > maxMinutes:
		return usage.Errorf("--minutes: must be 0 to %d", maxMinutes)
	case c.Kills == 0 && c.Minutes == 0:
		return usage.Errorf("--kills or --minutes must be more than 0")
	case c.Senders < 1 || c.Senders > maxSenders:
		return usage.Errorf("--senders: must be 1 to %d", maxSenders)
	case c.Phones < torture.MinPhones || c.Phones > maxPhones:
		return usage.Errorf("--phones: must be %d to %d", torture.MinPhones, maxPhones)
	}
	return nil
}

// clusterNodes is the number of nodes: enough for a message to cross from one node to another while a third is down.
const clusterNodes = 3

func (c *tortureCmd) nodes() int {
	if c.Cluster {
		return clusterNodes
	}
	return 1
}

// Upper bounds for one machine. Beyond them the ledger would be the bottleneck, not the node.
const (
	maxMinutes = 7 * 24 * 60
	maxSenders = 500
	maxPhones  = 900
)

func (c *tortureCmd) Run(ctx context.Context, s node.Streams) error {
	if err := c.check(); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	if c.Minutes > 0 {
		c.Kills = 0
	}
	if c.Keep != "" {
		if err := os.MkdirAll(c.Keep, 0o700); err != nil {
			return fmt.Errorf("--keep: %w", err)
		}
	}
	fmt.Fprintf(s.Out, "seed %d\n", c.Seed)
	v, err := torture.Run(ctx, torture.Options{
		Binary: self, Nodes: c.nodes(), Kills: c.Kills, Time: time.Duration(c.Minutes * float64(time.Minute)), Seed: c.Seed, PowerCuts: c.PowerCuts,
		Senders: c.Senders, Phones: c.Phones, Keep: c.Keep,
	}, s.Out)
	if err != nil {
		return fmt.Errorf("torture: %w", err)
	}
	printVerdict(s, &v)
	if c.JSON != "" {
		text, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(c.JSON, append(text, '\n'), 0o600); err != nil {
			return fmt.Errorf("--json: %w", err)
		}
	}
	if !v.Clean() {
		return errVerdict
	}
	return nil
}

// width is the length of the longest name of a row. Links have the longest names.
const width = 30

// printVerdict prints a table and, for each violation, the history of the messages involved.
func printVerdict(s node.Streams, v *checker.Verdict) {
	rows := []struct {
		name   string
		counts string
	}{
		{"rounds", fmt.Sprintf("%d, each brought to rest and judged", v.Rounds)},
		{"faults", fmt.Sprintf("%d kills, %d pauses, %d cuts, %d wipes", v.Kills, v.Pauses, v.Cuts, v.Wipes)},
		{"messages accepted", fmt.Sprintf("%d, of them %d scheduled and %d with a time to live", v.Accepted, v.Scheduled, v.Mortal)},
		{"spilled", fmt.Sprintf("%d, of them %d duplicates in the end", v.Spilled, v.Duplicates)},
		{"calls besides", fmt.Sprintf("%d without an answer, %d refused, %d mismatched keys, %d answered again", v.Unknown, v.Refused, v.Mismatched, v.Again)},
		{"changes of mind", fmt.Sprintf("%d cancels, %d replays", v.Cancels, v.Replays)},
		{"deliveries", fmt.Sprintf("%d first ones, %d repeats, %d syncs", v.Received, v.Repeats, v.Syncs)},
		{"open breakers", fmt.Sprintf("found %d times", v.Tripped)},
		{"messages ended", fmt.Sprintf("%d delivered, %d read, %d expired, %d canceled, %d failed", v.Delivered, v.Read, v.Expired, v.Canceled, v.Failed)},
		{"keys", checked(&v.Keys)},
		{"inboxes", checked(&v.Inboxes)},
	}
	if len(v.Parts) > 1 {
		for _, p := range v.Parts {
			rows = append(rows, struct{ name, counts string }{p.Name, suffered(&p)})
		}
	}
	for _, c := range v.Consumers {
		rows = append(rows, struct{ name, counts string }{
			"consumer " + c.Name, fmt.Sprintf("%d events, %d repeats, %d connections", c.Events, c.Repeats, c.Connections),
		})
	}
	fmt.Fprintln(s.Out)
	for _, row := range rows {
		fmt.Fprintf(s.Out, "%-*s %s\n", width, row.name, row.counts)
	}
	fmt.Fprintf(s.Out, "%-*s %d\n%-*s %d\n", width, "LOST", v.Lost, width, "promises broken", v.Breaches)
	for _, story := range v.Broken {
		fmt.Fprintln(s.Out, " ", story)
	}
	switch {
	case v.Clean():
		fmt.Fprintln(s.Out, "verdict: every promise was kept")
	case v.Breaches > 0:
		fmt.Fprintln(s.Out, "verdict: BROKEN")
	default:
		fmt.Fprintln(s.Out, "verdict: UNDECIDED, not every history could be checked in time")
	}
}

// suffered omits the kinds of faults that do not apply to a part.
func suffered(p *checker.Part) string {
	var words []string
	for _, f := range []struct {
		name  string
		count int
	}{{"kills", p.Kills}, {"pauses", p.Pauses}, {"cuts", p.Cuts}, {"wipes", p.Wipes}} {
		if f.count > 0 {
			words = append(words, fmt.Sprintf("%d %s", f.count, f.name))
		}
	}
	return strings.Join(words, ", ")
}

func checked(c *checker.Checked) string {
	text := fmt.Sprintf("%d histories of %d operations linearizable", c.Histories-c.Undecided, c.Operations)
	if c.LeftOut > 0 {
		text += fmt.Sprintf(", %d operations left out", c.LeftOut)
	}
	if c.Undecided > 0 {
		text += fmt.Sprintf(", %d histories UNDECIDED", c.Undecided)
	}
	return text
}
