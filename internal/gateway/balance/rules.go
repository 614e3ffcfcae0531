package balance

import (
	"cmp"
	"time"

	"github.com/esh3artech/esh3ar/internal/flow"
)

// Rules are the parameters of a Balancer. Zero fields have defaults.
type Rules struct {
	Slots        int           // calls and streams at one node; default 2,500
	Streams      int           // streams and tunnels among them; default half
	LatencyDecay time.Duration // time constant of the decay of a latency peak; default 1 s
	SlowStart    time.Duration // time until a node that came up has its whole share; default 10 s
	Checks       int           // failed checks in a row that make a node Down; default 2
	Failures     int           // broken calls in a row that eject a node; default 5
	Probation    int           // calls that a node must answer after an ejection before a single broken call does not eject it again; default 5
	Pause        flow.Backoff  // pause of an ejection; default 2 s to 1 min
	Grace        time.Duration // how long a node that is up is kept after it left the list; default 10 s
}

// DefaultSlots is the default of Rules.Slots. Three nodes and 10,000 clients then need fewer than 19,000 sockets.
const DefaultSlots = 2500

func (r Rules) withDefaults() Rules {
	r.Slots = cmp.Or(r.Slots, DefaultSlots)
	r.Streams = cmp.Or(r.Streams, r.Slots/2)
	r.LatencyDecay = cmp.Or(r.LatencyDecay, time.Second)
	r.SlowStart = cmp.Or(r.SlowStart, 10*time.Second)
	r.Checks = cmp.Or(r.Checks, 2)
	r.Failures = cmp.Or(r.Failures, 5)
	r.Probation = cmp.Or(r.Probation, 5)
	if r.Pause.Base == 0 {
		r.Pause = flow.Backoff{Base: 2 * time.Second, Cap: time.Minute}
	}
	r.Grace = cmp.Or(r.Grace, 10*time.Second) // two lifetimes of a registry entry: by then the nodes have registered again in a Redis that lost its data
	return r
}
