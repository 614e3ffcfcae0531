package embedded

import (
	"context"

	"github.com/esh3artech/esh3ar"
)

// mend runs a check of one row again, where nothing changes meanwhile, and writes what mends its faults. It says what was
// done to each; a fault that is not there any more, or whose message is being settled in the same batch, is left to the
// next look.
func (s *Store) mend(ctx context.Context, key []byte, c check) (actions map[string]string, err error) {
	actions = map[string]string{}
	err = s.chore(ctx, func(st *staging) error {
		row, err := getRow(s.db, key)
		if err != nil {
			return st.fail(err)
		}
		if row == nil {
			return nil
		}
		for _, f := range c(s.db, key, row) {
			if st.settling[f.Message] != nil || len(f.set)+len(f.aside) == 0 && f.log == nil {
				continue
			}
			if err := st.mendFault(&f); err != nil {
				return st.fail(err)
			}
			actions[f.Check] = esh3ar.Mended
			if len(f.aside) > 0 {
				actions[f.Check] = esh3ar.SetAside
			}
		}
		return nil
	})
	return actions, err
}

// mendFault writes what mends a fault. The committer's memory may rest on the rows that change, so it forgets all.
func (st *staging) mendFault(f *flaw) error {
	for _, key := range f.aside {
		if err := st.setAside(key); err != nil {
			return err
		}
	}
	for _, p := range f.set {
		if err := st.set(p.key, p.row); err != nil {
			return err
		}
	}
	if f.log != nil {
		if err := st.logEvent(f.log); err != nil {
			return err
		}
	}
	c := st.committer
	clear(c.counters)
	c.recent.forget()
	c.days = nil
	c.store.floors.forget()
	return nil
}

// setAside moves a row out of the way, whole: under its own key behind that of what was set aside.
func (st *staging) setAside(key []byte) error {
	row, err := getRow(st.committer.store.db, key)
	if err != nil || row == nil {
		return err
	}
	if err := st.set(append([]byte{asideKey}, key...), row); err != nil {
		return err
	}
	return st.batch.Delete(key, nil)
}

// forget gives up all floors: a message may wait again below them.
func (f *floors) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.mu.of)
}
