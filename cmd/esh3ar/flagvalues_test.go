package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFlags_BadValues_ErrorsNameFlagAndRemedy checks that no text of a parser reaches the user.
func TestFlags_BadValues_ErrorsNameFlagAndRemedy(t *testing.T) {
	t.Parallel()
	const wholeNumber = " is not a whole number; write digits only, such as 1000"
	for args, want := range map[string]string{
		"dlq show":                             "the argument <id> is missing; see `esh3ar dlq show --help`",
		"keys end":                             "the argument <id> is missing; see `esh3ar keys end --help`",
		"dlq list --limit":                     "--limit: a value is missing",
		"dlq list --limit x":                   `--limit: "x"` + wholeNumber,
		"dlq list --limit 0x10":                `--limit: "0x10"` + wholeNumber,
		"dlq list --limit 2.5":                 `--limit: "2.5"` + wholeNumber,
		"dlq list --limit 9e3":                 `--limit: "9e3"` + wholeNumber,
		"dlq list --limit=":                    `--limit: ""` + wholeNumber,
		"dlq list --limit 9223372036854775808": `--limit: "9223372036854775808" is not a number from -9223372036854775808 to 9223372036854775807`,
		"serve --max-connections -1":           "--max-connections: must not be negative",
		"torture --minutes x":                  `--minutes: "x" is not a number; write it as 0.5 or 20`,
		"torture --minutes NaN":                `--minutes: "NaN" is not a number; write it as 0.5 or 20`,
		"torture --seed -1":                    `--seed: "-1" is not a number from 0 to 18446744073709551615`,
		"serve --ack-timeout":                  "--ack-timeout: a value is missing",
		"serve --ack-timeout -5s":              "--ack-timeout: must be longer than 0",
		"serve --ack-timeout 5":                `--ack-timeout: "5" is not a duration; write a number and a unit, such as 90s, 1h30m, 30d or 2w`,
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), strings.Fields(args), &out, &errs)
		if got := errs.String(); code != exitUsage || got != "esh3ar: "+want+"\n" {
			t.Errorf("%s: code %d, got %q, want %q", args, code, got, want)
		}
	}
}

func TestConfig_Numbers_AreReadAsOnTheCommandLine(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"limit: 2.5":   `--limit: "2.5" is not a whole number; write digits only, such as 1000`,
		"limit: many":  `--limit: "many" is not a whole number; write digits only, such as 1000`,
		"limit: -3":    "--limit: ",
		"limit: 1.0e2": "no API key",
		"limit: 100":   "no API key",
	} {
		file := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(file, []byte(line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		run(t.Context(), []string{"--config", file, "dlq", "list", "--data-dir", t.TempDir()}, &out, &errs)
		if got := errs.String(); !strings.HasPrefix(got, "esh3ar: "+want) {
			t.Errorf("%s: got %q, want %q", line, got, want)
		}
	}
}
