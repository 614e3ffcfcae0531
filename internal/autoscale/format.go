package autoscale

import (
	"fmt"
	"strings"
	"time"
)

// requestText describes what an evaluation asks for.
func (g *evaluation) requestText(reporting int) string {
	text := fmt.Sprintf("%s %s for %d", g.text(reporting), askVerb(reporting), g.up)
	switch g.lost {
	case 0:
		return text
	case 1:
		return text + "; 1 more does not report and is not counted on"
	}
	return text + fmt.Sprintf("; %d more do not report and are not counted on", g.lost)
}

// text describes the values of an evaluation.
func (g *evaluation) text(reporting int) string {
	if g.full {
		return fmt.Sprintf("%s full (load %.2f, target %.2f)", nodeCount(reporting), g.mean, g.rule.Target)
	}
	span := ""
	if g.rule.Window > 0 {
		span = " over " + formatDuration(g.rule.Window)
	}
	if g.rule.Metric == Load {
		return fmt.Sprintf("%s at load %.2f%s (target %.2f)", nodeCount(reporting), g.mean, span, g.rule.Target)
	}
	return fmt.Sprintf("%s with %.0f %s each%s (target %.0f)", nodeCount(reporting), g.mean, g.rule.Metric, span, g.rule.Target)
}

func askVerb(n int) string {
	if n == 1 {
		return "asks"
	}
	return "ask"
}

func nodeCount(n int) string { return plural(n, "node") }

func stepCount(n int) string { return plural(n, "step") }

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// formatDuration formats a duration as people write it: 5m, not 5m0s.
func formatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// notYetText explains that a condition has not held for the whole window.
func notYetText(window time.Duration) string {
	if window == 0 {
		return "it is looked at once more first"
	}
	return "not yet for all of the last " + formatDuration(window)
}

// formatTime formats the time of day; entries of the history carry the date.
func formatTime(t time.Time) string { return t.UTC().Format("15:04:05") }
