package redis

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/keyring"
)

// errNoKeys means that a client that only reads the registry was asked for more.
var errNoKeys = errors.New("this client has no keys: it can only read the registry")

// seals are the sealers of a client, one for each part, so that a frame of one part is never taken for another's. All are nil
// without keys.
type seals struct{ hints, invalidations, values *keyring.Sealer }

func newSeals(ring *keyring.Ring) (s seals) {
	if ring != nil {
		s = seals{ring.Sealer("hints"), ring.Sealer("invalidations"), ring.Sealer("values")}
	}
	return s
}

// Parts whose contents are sealed or signed.
const (
	partHints = iota
	partPost
	partInvalidations
	partValues
	partRegistry
	parts
)

var partNames = [parts]string{"hints", "post", "invalidations", "values", "registry"}

// refusals counts what was refused, and when that was reported.
type refusals [parts]struct {
	n        atomic.Uint64
	reported atomic.Int64 // Unix nanoseconds
}

// reportEvery is the least time between two reports about one part: a flood of forgeries must not flood the log.
const reportEvery = time.Minute

// refuse counts something that was not taken, and reports it.
func (c *Client) refuse(part int, err error) {
	r := &c.stats.refused[part]
	r.n.Add(1)
	now, before := time.Now().UnixNano(), r.reported.Load()
	if now-before >= reportEvery.Nanoseconds() && r.reported.CompareAndSwap(before, now) {
		c.opts.OnRefused(partNames[part], err)
	}
}

// open returns the text of a message from a channel, or reports false.
func (c *Client) open(part int, sealer *keyring.Sealer, channel, frame string) ([]byte, bool) {
	text, err := sealer.Open(channel, []byte(frame))
	if err != nil {
		c.refuse(part, err)
		return nil, false
	}
	return text, true
}
