package esh3ar_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/esh3artech/esh3ar"
)

// TestReactions_DocsTable_MatchesCode compares docs/errors.md with the code: it must list every code once, with its reaction.
func TestReactions_DocsTable_MatchesCode(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| .+ \\| `(\\w+)` \\|$").FindAllStringSubmatch(string(text), -1) {
		if _, listedTwice := listed[row[1]]; listedTwice {
			t.Errorf("docs/errors.md: got %s twice, want it once", row[1])
		}
		listed[row[1]] = row[2]
	}
	for code := range esh3ar.Codes {
		if got := listed[code.String()]; got != code.Reaction().String() {
			t.Errorf("docs/errors.md: got reaction %q for %s, want %s", got, code, code.Reaction())
		}
		delete(listed, code.String())
	}
	for name := range listed {
		t.Errorf("docs/errors.md: got %s, which is no code", name)
	}
}

func TestReactionTo_Error_FollowsItsCode(t *testing.T) {
	t.Parallel()
	if got := esh3ar.ReactionTo(fmt.Errorf("commit: %w", esh3ar.Errorf(esh3ar.StoreFailed, "fsync"))); got != esh3ar.StopProcess {
		t.Errorf("wrapped StoreFailed: got %s, want stop_process", got)
	}
	if got := esh3ar.ReactionTo(errors.New("unclassified")); got != esh3ar.RetryLater {
		t.Errorf("unclassified error: got %s, want retry_later", got)
	}
	if esh3ar.AttemptsSpent.String() != esh3ar.ReasonAttemptsSpent {
		t.Errorf("got reason %q, want the name of the code %q", esh3ar.ReasonAttemptsSpent, esh3ar.AttemptsSpent)
	}
	if esh3ar.Code(200).Reaction() != esh3ar.RetryLater || esh3ar.Reaction(9).String() != "reaction(9)" {
		t.Errorf("out of range: got %s and %s, want retry_later and reaction(9)", esh3ar.Code(200).Reaction(), esh3ar.Reaction(9))
	}
}
