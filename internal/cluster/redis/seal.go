package redis

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/esh3artech/esh3ar/internal/cluster/keyring"
)

// errNoKeys means that a client without keys, which can only read the registry, was used for something else.
var errNoKeys = errors.New("this client has no keys: it can only read the registry")

// sealers holds one sealer per part, so that a frame of one part is never accepted by another. All are nil without keys.
type sealers struct{ hints, invalidations, values *keyring.Sealer }

func newSealers(ring *keyring.Ring) sealers {
	var s sealers
	if ring != nil {
		s = sealers{ring.Sealer("hints"), ring.Sealer("invalidations"), ring.Sealer("values")}
	}
	return s
}

// Parts whose contents are sealed or signed.
const (
	partHints = iota
	partBatches
	partInvalidations
	partValues
	partRegistry
	parts
)

var partNames = [parts]string{"hints", "post", "invalidations", "values", "registry"}

// refusals counts what was refused per part, and when that was last reported.
type refusals [parts]struct {
	n        atomic.Uint64
	reported atomic.Int64 // Unix nanoseconds
}

// reportEvery is the minimum time between two reports about one part: a flood of forgeries must not flood the log.
const reportEvery = time.Minute

// reject counts and reports contents that were not accepted.
func (c *Client) reject(part int, err error) {
	r := &c.stats.refused[part]
	r.n.Add(1)
	now, before := time.Now().UnixNano(), r.reported.Load()
	if now-before >= reportEvery.Nanoseconds() && r.reported.CompareAndSwap(before, now) {
		c.opts.OnRefused(partNames[part], err)
	}
}

// open decrypts a message of a channel. ok is false if it is not authentic; that is counted and reported.
func (c *Client) open(part int, sealer *keyring.Sealer, channel, frame string) ([]byte, bool) {
	text, err := sealer.Open(channel, []byte(frame))
	if err != nil {
		c.reject(part, err)
		return nil, false
	}
	return text, true
}
