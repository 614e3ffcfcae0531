package node

import (
	"log/slog"
	"sync"
	"time"
)

// outage logs that a dependency does not answer, once when that begins and once when it ends. Several parts notice it, each in its
// own way and at its own time; the outage lasts until all of them are answered again.
type outage struct {
	log   *slog.Logger
	begun string       // line of the beginning
	ended string       // line of the end
	more  func() []any // attributes of both lines; nil: none

	mu struct {
		sync.Mutex
		away  map[string]bool // parts that are not answered
		since time.Time
	}
}

// report takes what a part notices. A part that repeats itself changes nothing.
func (o *outage) report(part string, away bool) {
	o.mu.Lock()
	was := len(o.mu.away)
	if o.mu.away == nil {
		o.mu.away = map[string]bool{}
	}
	if away {
		o.mu.away[part] = true
	} else {
		delete(o.mu.away, part)
	}
	is := len(o.mu.away)
	if was == 0 && is > 0 {
		o.mu.since = time.Now()
	}
	lasted := time.Since(o.mu.since)
	o.mu.Unlock()
	var more []any
	if o.more != nil {
		more = o.more()
	}
	switch {
	case was == 0 && is > 0:
		o.log.Warn(o.begun, more...)
	case was > 0 && is == 0:
		o.log.Info(o.ended, append(more, "after", lasted.Round(time.Millisecond))...)
	}
}
