package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"time"

	"github.com/esh3artech/esh3ar/internal/torture"
)

type tortureCmd struct {
	Kills     int    `default:"20" help:"How often to kill -9 the node; 0: until --minutes are over."`
	Minutes   int    `help:"Go on for this long instead of a number of kills."`
	PowerCuts bool   `name:"power-cuts" help:"Each kill is a power cut: what was not fsynced is lost."`
	Seed      uint64 `help:"Seed of all choices (default: a new one, printed)."`
	Senders   int    `default:"8" help:"Businesses that send at the same time."`
	Phones    int    `default:"12" help:"Phone numbers; every third has two devices."`
	Keep      string `placeholder:"FOLDER" help:"Keep data and ledger there (default: only when a promise was broken)."`
	JSON      string `name:"json" placeholder:"FILE" help:"Write the verdict as JSON."`
}

func (c *tortureCmd) Run(ctx context.Context, s streams) error {
	if c.Senders < 1 || c.Phones < 1 || c.Kills < 0 || c.Minutes < 0 {
		return usagef("--senders and --phones must be at least 1, --kills and --minutes must not be negative")
	}
	if c.Kills == 0 && c.Minutes == 0 {
		return usagef("--kills or --minutes must be more than 0")
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
	fmt.Fprintf(s.out, "seed %d\n", c.Seed)
	v, err := torture.Run(ctx, torture.Options{
		Binary: self, Kills: c.Kills, Time: time.Duration(c.Minutes) * time.Minute, Seed: c.Seed, PowerCuts: c.PowerCuts,
		Senders: c.Senders, Phones: c.Phones, Keep: c.Keep,
	}, s.out)
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

func printVerdict(s streams, v *torture.Verdict) {
	fmt.Fprintf(s.out, `
kills                       %d
messages accepted           %d
calls without an answer     %d
messages refused            %d
first deliveries            %d
repeats                     %d
LOST                        %d
promises broken             %d
`, v.Kills, v.Accepted, v.Unknown, v.Refused, v.Received, v.Repeats, v.Lost, len(v.Broken))
	for _, story := range v.Broken {
		fmt.Fprintln(s.out, " ", story)
	}
	if v.Clean() {
		fmt.Fprintln(s.out, "verdict: every promise was kept")
	} else {
		fmt.Fprintln(s.out, "verdict: BROKEN")
	}
}
