package embedded

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/esh3artech/esh3ar"
	"github.com/esh3artech/esh3ar/internal/store/codec"
)

// PutPlan implements esh3ar.PlanStore.
func (s *Store) PutPlan(ctx context.Context, p esh3ar.Plan) error {
	return s.write(ctx, func(st *stagedBatch) error { return st.setJSON(appendPlan(nil, p.Name), p) })
}

// Plans implements esh3ar.PlanStore.
func (s *Store) Plans(context.Context) ([]esh3ar.Plan, error) {
	var plans []esh3ar.Plan
	v, err := s.acquireView()
	if err != nil {
		return nil, err
	}
	defer v.release()
	err = scan(v.snapshot, []byte{planKey}, []byte{planKey + 1}, func(key, row []byte) error {
		var p esh3ar.Plan
		if err := json.Unmarshal(row, &p); err != nil {
			return fmt.Errorf("row %x: %w", key, codec.ErrDamaged)
		}
		plans = append(plans, p)
		return nil
	})
	if err != nil {
		return nil, readError("read plans", err)
	}
	return plans, nil
}

// DeletePlan implements esh3ar.PlanStore.
func (s *Store) DeletePlan(ctx context.Context, name string) error {
	return s.write(ctx, func(st *stagedBatch) error {
		row, err := st.get(appendPlan(nil, name))
		if err != nil {
			return readError("read plan", err)
		}
		if row == nil {
			return esh3ar.Errorf(esh3ar.NotFound, "no such plan")
		}
		if used, err := st.planInUse(name); err != nil {
			return readError("find businesses with the plan", err)
		} else if used {
			return esh3ar.Errorf(esh3ar.InUse, "a business has the plan %s", name)
		}
		return st.setOverlay(appendPlan(nil, name), nil)
	})
}

// planInUse reports whether a business has the plan. It reads all businesses, including those changed by this batch: they are
// few, and plans are rarely deleted.
func (st *stagedBatch) planInUse(name string) (used bool, err error) {
	check := func(key, row []byte) error {
		var b esh3ar.Business
		if err := json.Unmarshal(row, &b); err != nil {
			return fmt.Errorf("row %x: %w", key, codec.ErrDamaged)
		}
		used = used || b.Plan == name
		return nil
	}
	for key, row := range st.overlay {
		if key[0] == businessKey {
			if err := check([]byte(key), row); err != nil {
				return false, err
			}
		}
	}
	err = scan(st.committer.store.db, []byte{businessKey}, []byte{businessKey + 1}, func(key, row []byte) error {
		if _, changed := st.overlay[string(key)]; changed {
			return nil
		}
		return check(key, row)
	})
	return used, err
}

// BusinessesWithPlan implements esh3ar.PlanStore.
func (s *Store) BusinessesWithPlan(_ context.Context, plan string) ([]esh3ar.BusinessID, error) {
	var ids []esh3ar.BusinessID
	v, err := s.acquireView()
	if err != nil {
		return nil, err
	}
	defer v.release()
	err = scan(v.snapshot, []byte{businessKey}, []byte{businessKey + 1}, func(key, row []byte) error {
		var b esh3ar.Business
		if err := json.Unmarshal(row, &b); err != nil {
			return fmt.Errorf("row %x: %w", key, codec.ErrDamaged)
		}
		if b.Plan == plan {
			ids = append(ids, b.ID)
		}
		return nil
	})
	if err != nil {
		return nil, readError("find businesses with the plan", err)
	}
	return ids, nil
}

// AssignPlan implements esh3ar.PlanStore.
func (s *Store) AssignPlan(ctx context.Context, business esh3ar.BusinessID, plan string) error {
	return s.write(ctx, func(st *stagedBatch) error {
		var b esh3ar.Business
		key := appendBusiness(nil, business)
		if err := getJSON(st, key, &b, "business"); err != nil {
			return err
		}
		b.Plan = plan
		return st.setJSON(key, b)
	})
}

// AddUsage implements esh3ar.UsageStore.
func (s *Store) AddUsage(ctx context.Context, entries []esh3ar.Usage) ([]esh3ar.Usage, error) {
	sums := slices.Clone(entries)
	err := s.write(ctx, func(st *stagedBatch) error {
		for i := range sums {
			if err := st.addUsage(&sums[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return sums, nil
}

// addUsage adds an entry to the stored usage of its day, and sets the entry to the sum.
func (st *stagedBatch) addUsage(u *esh3ar.Usage) error {
	key := appendUsage(nil, u.Business, u.Day)
	row, err := st.get(key)
	if err != nil {
		return st.fail(readError("read usage", err))
	}
	if row == nil { // the first entry of a day deletes days past retention
		begin, end := appendUsage(nil, u.Business, 0), appendUsage(nil, u.Business, max(0, u.Day-esh3ar.UsageDays+1))
		if err := st.batch.DeleteRange(begin, end, nil); err != nil {
			return st.fail(err)
		}
	} else if err := readUsage(row, u); err != nil {
		return st.fail(readError("read usage", err))
	}
	return st.setOverlay(key, appendUint64(appendUint64(nil, uint64(u.Messages)), uint64(u.Refused)))
}

// usageLen is the length of a usage row: the counts of accepted and rejected messages, 8 bytes each.
const usageLen = 16

// readUsage adds the counts of a row to u.
func readUsage(row []byte, u *esh3ar.Usage) error {
	if len(row) != usageLen {
		return fmt.Errorf("usage %x: %w", row, codec.ErrDamaged)
	}
	u.Messages += int64(binary.BigEndian.Uint64(row))
	u.Refused += int64(binary.BigEndian.Uint64(row[8:]))
	return nil
}

// Usage implements esh3ar.UsageStore.
func (s *Store) Usage(_ context.Context, business esh3ar.BusinessID, first, last esh3ar.Day) ([]esh3ar.Usage, error) {
	var days []esh3ar.Usage
	v, err := s.acquireView()
	if err != nil {
		return nil, err
	}
	defer v.release()
	lower, upper := appendUsage(nil, business, max(0, first)), appendUsage(nil, business, max(0, last+1))
	err = scan(v.snapshot, lower, upper, func(key, row []byte) error {
		if len(key) != usageKeyLen {
			return fmt.Errorf("row %x: %w", key, codec.ErrDamaged)
		}
		u := esh3ar.Usage{Business: business, Day: esh3ar.Day(binary.BigEndian.Uint32(key[17:]))}
		days = append(days, u)
		return readUsage(row, &days[len(days)-1])
	})
	if err != nil {
		return nil, readError("read usage", err)
	}
	return days, nil
}

// scan calls each with the rows from lower up to, but not including, upper. The slices are valid only during the call. scan
// stops at the first error.
func scan(src pebble.Reader, lower, upper []byte, each func(key, row []byte) error) error {
	it, err := src.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	for valid := it.First(); valid && err == nil; valid = it.Next() {
		err = each(it.Key(), it.Value())
	}
	return errors.Join(err, it.Close())
}
