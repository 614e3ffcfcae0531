package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar/internal/store/diskguard"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// readiness returns why this node takes no calls; nil if it takes them.
func (n *node) readiness() error {
	if !n.ready.Load() && n.moving.wanted.Load() {
		return errors.New("this node drains, as an operator asked")
	}
	if !n.ready.Load() {
		return errors.New("this node is starting or stopping")
	}
	return n.trouble()
}

// trouble returns what keeps a running node from storing a message; nil if nothing does. A spill that is out of room matters
// only while PostgreSQL does not answer.
func (n *node) trouble() error {
	if err := n.damage().Err(); err != nil {
		return err
	}
	if n.spilling != nil && !n.spilling.away.Load() {
		return nil
	}
	return n.space().Err()
}

// space returns the room on the volume of the database that this node keeps itself.
func (n *node) space() diskguard.Space {
	switch {
	case n.store.Local != nil:
		return n.store.Local.Space()
	case n.spilling != nil:
		return n.spilling.kept.Space()
	default:
		return diskguard.Space{}
	}
}

// damage is what was found damaged in the database that this node keeps itself.
func (n *node) damage() *diskguard.Damage {
	switch {
	case n.store.Local != nil:
		return n.store.Local.Damage()
	case n.spilling != nil:
		return n.spilling.kept.Damage()
	default:
		return &diskguard.Damage{}
	}
}

// watchDisk measures the volume once a second, so that its state changes, and is logged, without any call.
func (n *node) watchDisk(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		n.space()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// checkVolume refuses a data directory on a volume where no message could ever be stored.
func (c *Config) checkVolume() error {
	volume, err := vfs.Default.GetDiskUsage(c.DataDir)
	if err != nil {
		return nil // a file system that cannot report its space counts as roomy
	}
	if err := c.DiskReserve.CheckVolume(c.DataDir, volume.TotalBytes); err != nil {
		return usage.Errorf("--disk-reserve: %w; give a smaller reserve, or a larger volume with --data-dir", err)
	}
	return nil
}

// printNotReady prints that the node runs and takes no messages, and why.
func printNotReady(s Streams, url string, why error) {
	fmt.Fprintf(s.Out, "\nNot ready: %s takes no messages: %s\n", url, why)
}
