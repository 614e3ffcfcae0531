package spill

import (
	"errors"

	"github.com/cockroachdb/pebble/v2"
)

// ErrOtherCluster means that calls of another cluster wait in a spill.
var ErrOtherCluster = errors.New("calls of another cluster are in the spill")

// Claim says which cluster's calls these are, before anything is appended or drained. A spill that has calls of another one is
// refused: that store would take them, and has nobody who could find them there. An empty one becomes this cluster's, and so
// does one of a version that did not write it down.
func (s *Spill) Claim(cluster string) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.inside.Leave()
	return s.guarded(func() error {
		is, err := s.get([]byte{clusterKey})
		switch stats := s.Stats(); {
		case err != nil || string(is) == cluster:
			return err
		case is != nil && stats.Calls+stats.InQuarantine > 0:
			return ErrOtherCluster
		}
		return s.db.Set([]byte{clusterKey}, []byte(cluster), pebble.Sync)
	})
}
