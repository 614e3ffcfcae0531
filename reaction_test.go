package esh3ar_test

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/esh3artech/esh3ar"
)

// TestTheTableOfErrorsAgrees holds docs/errors.md against the code: every code once, with its reaction.
func TestTheTableOfErrorsAgrees(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| .+ \\| `(\\w+)` \\|$").FindAllStringSubmatch(string(text), -1) {
		if _, twice := listed[row[1]]; twice {
			t.Errorf("%s is listed twice", row[1])
		}
		listed[row[1]] = row[2]
	}
	for code := range esh3ar.Codes {
		if got := listed[code.String()]; got != code.Reaction().String() {
			t.Errorf("%s is listed as %q, its reaction is %s", code, got, code.Reaction())
		}
		delete(listed, code.String())
	}
	for name := range listed {
		t.Errorf("%s is listed and no code", name)
	}
}

func TestReactionTo(t *testing.T) {
	t.Parallel()
	if got := esh3ar.ReactionTo(fmt.Errorf("commit: %w", esh3ar.Errorf(esh3ar.StoreFailed, "fsync"))); got != esh3ar.StopProcess {
		t.Error(got)
	}
	if got := esh3ar.ReactionTo(errors.New("whatever")); got != esh3ar.RetryLater {
		t.Error(got)
	}
	if esh3ar.AttemptsSpent.String() != esh3ar.ReasonAttemptsSpent {
		t.Error("the reason of a dead letter is the code of its last setback")
	}
	if esh3ar.Code(200).Reaction() != esh3ar.RetryLater || esh3ar.Reaction(9).String() != "reaction(9)" {
		t.Error("what is out of range")
	}
}
