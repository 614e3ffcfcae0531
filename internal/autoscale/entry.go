package autoscale

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Reasons of entries that are not decisions.
const (
	Elected      Reason = "elected"       // a new leader
	TargetFailed Reason = "target_failed" // a decision could not be executed
)

// String formats the entry for people.
func (e *Entry) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  ", e.At.Time().UTC().Format("2006-01-02 15:04:05"))
	number := ""
	if e.From != e.To {
		number = fmt.Sprintf("%d → %d", e.From, e.To)
	} else if e.To > 0 {
		number = strconv.Itoa(e.To)
	}
	fmt.Fprintf(&b, "%9s  %-13s  %s", number, e.Reason, e.Why)
	if e.DryRun && e.From != e.To {
		b.WriteString(" (dry run: not done)")
	} else if e.DryRun {
		b.WriteString(" (dry run)")
	}
	return b.String()
}

// printableLine returns s as one line of printable text. Texts of targets and registries may contain characters that databases and
// terminals do not accept.
func printableLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
}

// entry returns the decision as an entry of the history.
func (d *Decision) entry(t Term, dry bool) *Entry {
	return &Entry{At: timeOf(d.At), By: t.Holder, Token: t.Token, From: d.From, To: d.To, Reason: d.Reason, Why: printableLine(d.Why), DryRun: dry}
}
