package node

import (
	"log/slog"
	"sync"
	"time"
)

// outageLog logs one line when a dependency stops answering and one when it answers again. Several parts detect an outage at different
// times; it lasts until all of them are answered again.
type outageLog struct {
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

// report records whether a part is answered. Repeated reports change nothing.
func (o *outageLog) report(part string, away bool) {
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
	if was == 0 && is > 0 {
		o.log.Warn(o.begun, more...)
	} else if was > 0 && is == 0 {
		o.log.Info(o.ended, append(more, "after", lasted.Round(time.Millisecond))...)
	}
}
