package embedded

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/faultinject"
)

// Idempotency keys are grouped by the day of their expiry, so a whole day is deleted as one range and no walk is needed. In
// exchange, a lookup reads every existing day: usually two, more for a while after the clock was set back.

// findKey returns the row of an idempotency key that has not expired, or nil.
func (st *stagedBatch) findKey(scope idemScope) (*idemRow, error) {
	if k, ok := st.keys[scope]; ok && k.expires > st.now {
		return k, nil
	}
	days, err := st.committer.keyDays()
	if err != nil {
		return nil, err
	}
	for _, day := range days {
		row, err := st.get(appendIdem(nil, day, scope))
		if err != nil {
			return nil, err
		}
		if row == nil {
			continue
		}
		if k, err := decodeIdem(row); err != nil || k.expires > st.now {
			return &k, err
		}
	}
	return nil, nil
}

// keyDays returns the days that have keys. The first call reads them; later calls use the cached list.
func (c *committer) keyDays() ([]uint32, error) {
	if c.keyDayCache != nil {
		return c.keyDayCache, nil
	}
	days, err := readKeyDays(c.store.db)
	if err != nil {
		return nil, err
	}
	c.keyDayCache = days
	return days, nil
}

// readKeyDays returns the days that have keys. It seeks from each day to the next one.
func readKeyDays(db iterable) ([]uint32, error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{idemKey}, UpperBound: []byte{idemKey + 1}})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	days := []uint32{} // never nil: nil means not read yet
	for valid := it.First(); valid; valid = it.SeekGE(appendIdemDay(nil, days[len(days)-1]+1)) {
		days = append(days, binary.BigEndian.Uint32(it.Key()[1:]))
	}
	return days, it.Error()
}

// iterable is a view or the database.
type iterable interface {
	NewIter(o *pebble.IterOptions) (*pebble.Iterator, error)
}

// writeKeys stages the idempotency keys of the batch.
func (st *stagedBatch) writeKeys() error {
	if faultinject.Is(faultinject.KeyForgotten) {
		return nil
	}
	for scope, row := range st.keys {
		day := idemDay(row.expires)
		if err := st.set(appendIdem(nil, day, scope), row.append(nil)); err != nil {
			return err
		}
		if !slices.Contains(st.committer.keyDayCache, day) {
			st.committer.keyDayCache = append(st.committer.keyDayCache, day) // if the batch fails, an extra day does no harm
		}
	}
	return nil
}

// DeleteExpiredKeys implements esh3ar.RetentionStore. It deletes whole days only.
func (s *Store) DeleteExpiredKeys(ctx context.Context, expiredBefore esh3ar.Time) error {
	today := idemDay(expiredBefore)
	return s.runStep(ctx, func(st *stagedBatch) error {
		days, err := st.committer.keyDays()
		if err != nil {
			return st.fail(err)
		}
		first, last := appendIdemDay(nil, 0), appendIdemDay(nil, today)
		if !slices.ContainsFunc(days, func(day uint32) bool { return bytes.Compare(appendIdemDay(nil, day), last) < 0 }) {
			return nil
		}
		st.committer.keyDayCache = slices.DeleteFunc(slices.Clone(days), func(day uint32) bool { return day < today })
		if err := st.batch.DeleteRange(first, last, nil); err != nil {
			return st.fail(err)
		}
		return nil
	})
}

// KnownKey implements esh3ar.KeyReader.
func (s *Store) KnownKey(_ context.Context, business esh3ar.BusinessID, key *esh3ar.IdempotencyKey) (answer esh3ar.Answer, known bool, err error) {
	v, err := s.acquireView()
	if err != nil {
		return answer, false, err
	}
	defer v.release()
	days, err := readKeyDays(v.snapshot)
	if err != nil {
		return answer, false, readError("read idempotency key", err)
	}
	now, scope := esh3ar.TimeOf(s.opts.Now()), scopeOf(business, key.Key)
	for _, day := range days {
		text, err := getRow(v.snapshot, appendIdem(nil, day, scope))
		if err != nil {
			return answer, false, readError("read idempotency key", err)
		}
		if text == nil {
			continue
		}
		row, err := decodeIdem(text)
		if err != nil {
			return answer, false, readError("read idempotency key", err)
		}
		if row.expires > now {
			return answerFromKey(&row, key), true, nil
		}
	}
	return answer, false, nil
}
