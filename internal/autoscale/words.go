package autoscale

import (
	"fmt"
	"strings"
	"time"
)

// asks is what a reading asks for, in words.
func (g *reading) asks(reporting int) string {
	text := fmt.Sprintf("%s %s for %d", g.says(reporting), ask(reporting), g.up)
	switch g.lost {
	case 0:
		return text
	case 1:
		return text + "; 1 more does not report and is not counted on"
	}
	return text + fmt.Sprintf("; %d more do not report and are not counted on", g.lost)
}

// says is a reading in words.
func (g *reading) says(reporting int) string {
	if g.full {
		return fmt.Sprintf("%s full (load %.2f, target %.2f)", nodes(reporting), g.mean, g.rule.Target)
	}
	span := ""
	if g.rule.Window > 0 {
		span = " over " + spell(g.rule.Window)
	}
	if g.rule.Metric == Load {
		return fmt.Sprintf("%s at load %.2f%s (target %.2f)", nodes(reporting), g.mean, span, g.rule.Target)
	}
	return fmt.Sprintf("%s with %.0f %s each%s (target %.0f)", nodes(reporting), g.mean, g.rule.Metric, span, g.rule.Target)
}

func ask(n int) string {
	if n == 1 {
		return "asks"
	}
	return "ask"
}

func nodes(n int) string { return count(n, "node") }

func steps(n int) string { return count(n, "step") }

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// spell is a duration as people write it: 5m, not 5m0s.
func spell(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// notYet says that something was not so for all of the time that it must be.
func notYet(window time.Duration) string {
	if window == 0 {
		return "it is looked at once more first"
	}
	return "not yet for all of the last " + spell(window)
}

// clock is a time of day; diaries carry the date.
func clock(t time.Time) string { return t.UTC().Format("15:04:05") }
