package main

import (
	"bytes"
	"strings"
	"testing"
)

// TestRun_UnknownVariable_IsNamedWithItsNearest and stops nothing. Known ones, and those of others, are not named.
func TestRun_UnknownVariable_IsNamedWithItsNearest(t *testing.T) {
	t.Setenv("ESH3AR_LISTN", "x")
	t.Setenv("ESH3AR_DATABSE_URL", "x")
	t.Setenv("ESH3AR_SOMETHING_OF_ANOTHER_KIND", "x")
	t.Setenv("ESH3AR_LISTEN", "127.0.0.1:0")
	t.Setenv("ESH3AR", "x")
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"version"}, &out, &errs); code != exitOK {
		t.Fatalf("code %d: %s", code, errs.String())
	}
	want := `esh3ar: warning: unknown environment variable ESH3AR_DATABSE_URL: did you mean ESH3AR_DATABASE_URL?
esh3ar: warning: unknown environment variable ESH3AR_LISTN: did you mean ESH3AR_LISTEN?
esh3ar: warning: unknown environment variable ESH3AR_SOMETHING_OF_ANOTHER_KIND: no flag reads it
`
	if errs.String() != want {
		t.Errorf("got %s, want %s", errs.String(), want)
	}
}

// TestRun_VersionAsAFlag prints what the command prints.
func TestRun_VersionAsAFlag(t *testing.T) {
	t.Parallel()
	var flag, command, errs bytes.Buffer
	if code := run(t.Context(), []string{"--version"}, &flag, &errs); code != exitOK {
		t.Fatalf("code %d: %s", code, errs.String())
	}
	run(t.Context(), []string{"version"}, &command, &errs)
	if flag.String() != command.String() || !strings.HasPrefix(flag.String(), "esh3ar ") {
		t.Errorf("got %q, want %q", flag.String(), command.String())
	}
}

// TestRun_DurationsWithDays in flags; what is none is named with an example.
func TestRun_DurationsWithDays(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"30d": "--keep-events: must not be longer than --keep-messages (720h0m0s)", // it was read: the next check refuses it
		"30x": `--keep-messages: "30x" is not a duration; write a number and a unit, such as 90s, 1h30m, 30d or 2w`,
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"serve", "--keep-messages", value, "--keep-events", "5w"}, &out, &errs)
		if code != exitUsage || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: code %d, %s, want %s", value, code, errs.String(), want)
		}
	}
}
