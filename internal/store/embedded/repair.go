package embedded

import (
	"context"

	"github.com/esh3artech/esh3ar"
)

// repair repeats a check of one row inside the committer, where the row cannot change, and stages the repair of its faults. It
// returns the action taken per check. Faults that are gone, and faults of messages that the same batch settles, are left to
// the next run.
func (s *Store) repair(ctx context.Context, key []byte, c check) (actions map[string]string, err error) {
	actions = map[string]string{}
	err = s.runStep(ctx, func(st *stagedBatch) error {
		row, err := getRow(s.db, key)
		if err != nil {
			return st.fail(err)
		}
		if row == nil {
			return nil
		}
		for _, f := range c(s.db, key, row) {
			if st.updates[f.Message] != nil || len(f.set)+len(f.quarantine) == 0 && f.event == nil {
				continue
			}
			if err := st.repairFault(&f); err != nil {
				return st.fail(err)
			}
			actions[f.Check] = esh3ar.Mended
			if len(f.quarantine) > 0 {
				actions[f.Check] = esh3ar.SetAside
			}
		}
		return nil
	})
	return actions, err
}

// repairFault stages the repair of a fault. The committer's caches may be based on the changed rows, so they are cleared.
func (st *stagedBatch) repairFault(f *fault) error {
	for _, key := range f.quarantine {
		if err := st.quarantine(key); err != nil {
			return err
		}
	}
	for _, p := range f.set {
		if err := st.set(p.key, p.row); err != nil {
			return err
		}
	}
	if f.event != nil {
		if err := st.logEvent(f.event); err != nil {
			return err
		}
	}
	c := st.committer
	clear(c.counters)
	c.cache.reset()
	c.keyDayCache = nil
	c.store.lowWater.reset()
	return nil
}

// quarantine moves a row unchanged to a key of the form z<key>.
func (st *stagedBatch) quarantine(key []byte) error {
	row, err := getRow(st.committer.store.db, key)
	if err != nil || row == nil {
		return err
	}
	if err := st.set(append([]byte{quarantineKey}, key...), row); err != nil {
		return err
	}
	return st.batch.Delete(key, nil)
}

// reset drops all low-water marks: a repair may make a message below them undelivered again.
func (f *lowWaterMarks) reset() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.mu.marks)
}
