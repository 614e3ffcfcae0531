package admission

import (
	"time"

	"github.com/esh3artech/esh3ar"
)

// State is the state of a call; the package documentation has the transitions.
type State uint8

// The states of a call.
const (
	Released State = iota // not known to the controller: new, shed, evicted or released
	Waiting               // in the admission queue
	Admitted              // in flight
)

// Call is the controller's record of a call. Its owner fills the exported fields before Admit and must keep the record until the call
// is released; a released record may be used again.
type Call struct {
	Level    esh3ar.Level
	Priority esh3ar.Priority // the highest of its messages
	Messages int             // number of messages, at least 1
	Bytes    int             // size of all messages
	Since    time.Time       // time of arrival; Next replaces it with the time of admission
	Owner    any             // the owner's own record; not read by the controller

	state        State
	bucket       *bucket // the bucket that holds the call; nil unless Waiting
	older, newer *Call   // neighbours in the bucket; nil at its ends
}

// State returns the state of the call.
func (c *Call) State() State { return c.state }
