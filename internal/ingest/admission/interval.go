package admission

import "time"

// intervalLength is the time between two steps of the limiter, some tens of commits. probeLength is the shorter one of a probe.
const (
	intervalLength = 100 * time.Millisecond
	probeLength    = 10 * time.Millisecond
)

// interval collects what is measured between two steps of the limiter.
type interval struct {
	began    time.Time
	latency  time.Duration // sum over all released messages, from admission to release
	messages int           // released messages
	peak     int           // most messages in flight at one moment
}

// add counts an admitted call that is released now.
func (i *interval) add(c *Call, now time.Time) {
	i.latency += now.Sub(c.Since) * time.Duration(c.Messages)
	i.messages += c.Messages
}

// observe raises the peak to a number of messages in flight.
func (i *interval) observe(inFlight int) { i.peak = max(i.peak, inFlight) }

// sample returns the measurements for the limiter, without the memory.
func (i *interval) sample() Sample {
	s := Sample{Messages: i.messages, Peak: i.peak}
	if i.messages > 0 {
		s.Latency = i.latency / time.Duration(i.messages)
	}
	return s
}
