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

// Idempotency keys lie by the day on which they end, so that a day of them is deleted by one range and nothing is ever
// walked. The price is that a key is looked for in every day that there is: two as a rule, more for a while after the
// clock was turned back.

// knownKey finds an idempotency key that is still in force.
func (st *staging) knownKey(scope idemScope) (*idemRow, error) {
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

// keyDays gives the days that have keys, read once and then kept.
func (c *committer) keyDays() ([]uint32, error) {
	if c.days != nil {
		return c.days, nil
	}
	days, err := readKeyDays(c.store.db)
	if err != nil {
		return nil, err
	}
	c.days = days
	return days, nil
}

// readKeyDays hops from day to day.
func readKeyDays(db iterable) ([]uint32, error) {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{idemKey}, UpperBound: []byte{idemKey + 1}})
	if err != nil {
		return nil, err
	}
	defer it.Close()
	days := []uint32{} // never nil: read
	for valid := it.First(); valid; valid = it.SeekGE(appendIdemDay(nil, days[len(days)-1]+1)) {
		days = append(days, binary.BigEndian.Uint32(it.Key()[1:]))
	}
	return days, it.Error()
}

// iterable is a view or the database.
type iterable interface {
	NewIter(o *pebble.IterOptions) (*pebble.Iterator, error)
}

// setKeys writes the keys of the batch.
func (st *staging) setKeys() error {
	if faultinject.Is(faultinject.KeyForgotten) {
		return nil
	}
	for scope, row := range st.keys {
		day := idemDay(row.expires)
		if err := st.set(appendIdem(nil, day, scope), row.append(nil)); err != nil {
			return err
		}
		if !slices.Contains(st.committer.days, day) {
			st.committer.days = append(st.committer.days, day) // a day too many does no harm if the batch fails
		}
	}
	return nil
}

// ForgetKeys realises esh3ar.Janitor: days that are over as a whole go.
func (s *Store) ForgetKeys(ctx context.Context, expiredBefore esh3ar.Time) error {
	today := idemDay(expiredBefore)
	return s.chore(ctx, func(st *staging) error {
		days, err := st.committer.keyDays()
		if err != nil {
			return st.fail(err)
		}
		first, last := appendIdemDay(nil, 0), appendIdemDay(nil, today)
		if !slices.ContainsFunc(days, func(day uint32) bool { return bytes.Compare(appendIdemDay(nil, day), last) < 0 }) {
			return nil
		}
		st.committer.days = slices.DeleteFunc(slices.Clone(days), func(day uint32) bool { return day < today })
		if err := st.batch.DeleteRange(first, last, nil); err != nil {
			return st.fail(err)
		}
		return nil
	})
}

// KnownKey implements esh3ar.KeyReader.
func (s *Store) KnownKey(_ context.Context, business esh3ar.BusinessID, key *esh3ar.IdempotencyKey) (answer esh3ar.Answer, known bool, err error) {
	v, err := s.read()
	if err != nil {
		return answer, false, err
	}
	defer v.release()
	days, err := readKeyDays(v.snapshot)
	if err != nil {
		return answer, false, readError("read an idempotency key", err)
	}
	now, scope := esh3ar.TimeOf(s.opts.Now()), scopeOf(business, key.Key)
	for _, day := range days {
		text, err := getRow(v.snapshot, appendIdem(nil, day, scope))
		if err != nil {
			return answer, false, readError("read an idempotency key", err)
		}
		if text == nil {
			continue
		}
		row, err := decodeIdem(text)
		if err != nil {
			return answer, false, readError("read an idempotency key", err)
		}
		if row.expires > now {
			return answerKnown(&row, key), true, nil
		}
	}
	return answer, false, nil
}
