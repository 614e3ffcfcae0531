package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/esh3artech/esh3ar/internal/crashfs"
	"github.com/esh3artech/esh3ar/internal/httpapi"
	"github.com/esh3artech/esh3ar/internal/ingest"
	"github.com/esh3artech/esh3ar/internal/ingest/spill"
	"github.com/esh3artech/esh3ar/internal/usage"
)

// Spilling keeps calls on this node's disk while the shared store does not answer. It is nil if the store is embedded.
type Spilling struct {
	kept  *spill.Spill
	drain *spill.Drainer
	dir   string
	away  atomic.Bool // the database does not answer
}

var _ httpapi.Spill = (*Spilling)(nil)

// SpillFolder returns the folder of the spill in a data directory.
func SpillFolder(dataDir string) string { return filepath.Join(dataDir, "spill") }

func (n *node) openSpill(context.Context) error {
	if n.store.Shared == nil {
		return nil
	}
	dir := SpillFolder(n.config.DataDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	// SpillMiB is in MiB, MaxBytes in bytes.
	options := spill.Options{FS: n.files, MaxOpenFiles: n.storeFiles, MaxBytes: int64(n.config.SpillMiB) << 20, Log: n.log, Reserve: n.config.DiskReserve}
	if n.config.PowerCuts {
		options.FS = crashfs.New(vfs.Default)
	}
	kept, err := spill.Open(dir, options)
	if err != nil {
		return err
	}
	if err := ClaimSpill(kept, n.account.Cluster); err != nil {
		return errors.Join(err, kept.Close())
	}
	n.spilling = &Spilling{kept: kept, dir: dir}
	return nil
}

// SpillingOf returns the spill of a node that does not run; dataDir is the data directory of that node.
func SpillingOf(kept *spill.Spill, dataDir string) *Spilling {
	return &Spilling{kept: kept, dir: SpillFolder(dataDir)}
}

// ClaimSpill binds a spill to a cluster. It returns a usage error if the spill contains calls that another cluster accepted.
func ClaimSpill(kept *spill.Spill, cluster string) error {
	err := kept.Claim(cluster)
	if errors.Is(err, spill.ErrOtherCluster) {
		return usage.Errorf("--database-url: the spill in --data-dir has %d accepted messages and %d calls in quarantine of another cluster; give the database of the nodes that took them",
			kept.Stats().Messages, kept.Stats().InQuarantine)
	}
	return err
}

// drainPause bounds the time between two attempts to drain, so a recovered database is noticed within it.
const drainPause = time.Second

// openIntake creates the ingest pipeline. With a shared store it has a spill, and a drainer that empties the spill.
func (n *node) openIntake(o ingest.Options) {
	s := n.spilling
	if s == nil {
		n.intake = ingest.New(n.store, n.engine, o)
		return
	}
	o.Spill, o.OnStoreAway = s.kept, n.databaseChanged
	n.intake = ingest.New(n.store, n.engine, o)
	s.drain = spill.NewDrainer(s.kept, n.store, spill.DrainOptions{
		OnStored: n.intake.OnDrained, OnResult: n.intake.OnDrainResult, MaxPause: drainPause, Log: n.log,
	})
}

// databaseChanged records whether calls see the database as unavailable.
func (n *node) databaseChanged(away bool) {
	n.spilling.away.Store(away)
	n.outage.report("calls", away)
}

// run drains the spill until ctx ends.
func (s *Spilling) run(ctx context.Context) error {
	if s == nil {
		return nil
	}
	return s.drain.Run(ctx)
}

// wake makes the drainer try at once.
func (s *Spilling) wake() {
	if s != nil && s.drain != nil {
		s.drain.Wake()
	}
}

// failed returns a channel that is closed when the spill can never be written to again.
func (s *Spilling) failed() <-chan struct{} {
	if s == nil {
		return nil
	}
	return s.kept.Failed()
}

// Close drains the spill within ctx and closes it. It returns a SpillNotEmptyError if messages are left, since they exist nowhere else.
func (s *Spilling) Close(ctx context.Context) error {
	if s == nil {
		return nil
	}
	if s.drain != nil && s.kept.Calls() > 0 {
		_ = s.drain.Drain(ctx) // what is left is counted below
	}
	left := SpillNotEmptyError{stats: s.kept.Stats(), dir: s.dir}
	return errors.Join(s.kept.Close(), left.orNil())
}

// SpillNotEmptyError reports that a closed spill still contains messages or calls in quarantine.
type SpillNotEmptyError struct {
	stats spill.Stats
	dir   string
}

func (l SpillNotEmptyError) orNil() error {
	if l.stats.Calls+l.stats.InQuarantine == 0 {
		return nil
	}
	return l
}

func (l SpillNotEmptyError) Error() string {
	next := fmt.Sprintf("start this node again, or run `%s spill drain --data-dir %s --database-url …`", usage.Program(), filepath.Dir(l.dir))
	if l.stats.Calls == 0 {
		next = fmt.Sprintf("look at them with `%s spill list --data-dir %s`", usage.Program(), filepath.Dir(l.dir))
	}
	return fmt.Sprintf("%d accepted messages and %d calls in quarantine are still only in %s: %s", l.stats.Messages, l.stats.InQuarantine, l.dir, next)
}

// messages returns the number of accepted messages that are only in this spill.
func (s *Spilling) messages() int {
	if s == nil {
		return 0
	}
	return s.kept.Messages()
}

// Waiting implements httpapi.Spill.
func (s *Spilling) Waiting() bool { return s != nil && s.kept.Calls() > 0 }

// Report implements httpapi.Spill.
func (s *Spilling) Report(most int) (httpapi.SpillReport, error) {
	if s == nil {
		return httpapi.SpillReport{}, nil
	}
	return SpillReport(s.kept, most)
}

// Readmit implements httpapi.Spill.
func (s *Spilling) Readmit(ctx context.Context) (int, error) {
	if s == nil {
		return 0, nil
	}
	return s.kept.Readmit(ctx)
}

// SpillReport returns the counts of a spill and at most most calls of its quarantine.
func SpillReport(kept *spill.Spill, most int) (httpapi.SpillReport, error) {
	s := kept.Stats()
	r := httpapi.SpillReport{
		Calls: s.Calls, Messages: s.Messages, Recipients: s.Recipients, Bytes: s.Bytes, OldestAcceptedAt: s.Oldest, Quarantined: s.InQuarantine,
	}
	err := kept.Quarantine(func(q spill.Quarantined) bool {
		if len(r.Quarantine) == most {
			return false
		}
		r.Quarantine = append(r.Quarantine, quarantinedCall(&q))
		return true
	})
	return r, err
}

func quarantinedCall(q *spill.Quarantined) httpapi.QuarantinedCall {
	one := httpapi.QuarantinedCall{At: q.At, Reason: q.Reason, Damaged: q.Call == nil, Bytes: len(q.Row)}
	if q.Call == nil {
		return one
	}
	one.BusinessID = q.Call.Business.String()
	for _, m := range q.Call.Messages {
		one.MessageIDs = append(one.MessageIDs, m.ID)
	}
	return one
}
