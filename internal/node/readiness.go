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

// readiness returns nil if this node takes calls, else the reason why it does not.
func (n *node) readiness() error {
	if !n.ready.Load() && n.moving.wanted.Load() {
		return errors.New("this node drains, as an operator asked")
	}
	if !n.ready.Load() {
		return errors.New("this node is starting or stopping")
	}
	return n.trouble()
}

// trouble returns the reason why a running node cannot store a message, or nil. A full spill matters only while PostgreSQL does not
// answer.
func (n *node) trouble() error {
	if err := n.damage().Err(); err != nil {
		return err
	}
	if n.spilling != nil && !n.spilling.away.Load() {
		return nil
	}
	return n.space().Err()
}

// space returns the free space on the volume of the embedded store or of the spill.
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

// damage returns the damage that was found in the embedded store or in the spill.
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

// watchDisk measures the volume once a second, so that a change is noticed and logged without traffic.
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
		return nil // a file system that cannot report its free space has no reserve
	}
	if err := c.DiskReserve.CheckVolume(c.DataDir, volume.TotalBytes); err != nil {
		return usage.Errorf("--disk-reserve: %w; give a smaller reserve, or a larger volume with --data-dir", err)
	}
	return nil
}

// printNotReady prints why the running node takes no messages.
func printNotReady(s Streams, url string, why error) {
	fmt.Fprintf(s.Out, "\nNot ready: %s takes no messages: %s\n", url, why)
}
