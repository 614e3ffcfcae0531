package balance

import (
	"time"

	"github.com/esh3artech/esh3ar/internal/flow"
)

// Rules are the numbers of a Balancer; the zero value of a field means its default.
type Rules struct {
	Slots     int           // connections to a node, with a call or a stream each; default 2,500
	Streams   int           // of those, for streams and tunnels; default half
	Fall      time.Duration // time constant in which a latency is forgotten; default 1 s
	SlowStart time.Duration // until a node that came or came back has its whole share; default 10 s
	Checks    int           // failed in a row that take a node down; default 2
	Failures  int           // broken calls in a row that eject a node; default 5
	Trial     int           // calls that an ejected node must answer before its failures are counted anew; default 5
	Pause     flow.Backoff  // of an ejection; default 2 s to 1 min
	Grace     time.Duration // how long a node that left the list is kept while its checks are good; default 10 s
}

// DefaultSlots of a node: three nodes and 10,000 callers stay below 19,000 sockets.
const DefaultSlots = 2500

func (r *Rules) setDefaults() {
	if r.Slots == 0 {
		r.Slots = DefaultSlots
	}
	if r.Streams == 0 {
		r.Streams = r.Slots / 2
	}
	if r.Fall == 0 {
		r.Fall = time.Second
	}
	if r.SlowStart == 0 {
		r.SlowStart = 10 * time.Second
	}
	if r.Checks == 0 {
		r.Checks = 2
	}
	if r.Failures == 0 {
		r.Failures = 5
	}
	if r.Trial == 0 {
		r.Trial = 5
	}
	if r.Pause.Base == 0 {
		r.Pause = flow.Backoff{Base: 2 * time.Second, Cap: time.Minute}
	}
	if r.Grace == 0 {
		r.Grace = 10 * time.Second // two lives of an entry of the registry: a Redis that lost everything is told again by then
	}
}
