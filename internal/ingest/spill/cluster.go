package spill

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// ErrOtherCluster means that the spill holds calls of another cluster.
var ErrOtherCluster = errors.New("calls of another cluster are in the spill")

// Claim marks the spill as part of a cluster. It must be called before Append and before a drain. If the spill holds calls of another
// cluster, Claim returns ErrOtherCluster: the database of this cluster would take the calls, but the businesses that sent them could not
// find them there. An empty spill may be claimed by any cluster, and so may a spill of an old version that recorded none.
func (s *Spill) Claim(cluster string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.gate.Leave()
	return s.untilFault(func() error {
		owner, err := s.get([]byte{clusterKey})
		if err != nil || string(owner) == cluster {
			return err
		}
		stats := s.Stats()
		if owner != nil && stats.Calls+stats.InQuarantine > 0 {
			return ErrOtherCluster
		}
		return s.db.Set([]byte{clusterKey}, []byte(cluster), pebble.Sync)
	})
}
